"""Which encoding text without a mark is in, where it is not UTF-8: a guess by the letters that it would hold."""

import re
import unicodedata
from collections.abc import Callable, Mapping

_COMMON_HANGUL = (
    "가각간갈감갑강개객거건걸검것게격결경계고곡공과관광교구국군권규균그극근글금급기길김까나난날남내너년념노녹농누는능니다단달담당대"
    "더덕데도독동두드득들등따때또라락란람량러런레려력련령례로록론료루류륙률르른름리린림립마만말망매맥면명모목무문물미민박반발방배백번"
    "법베벽변별병보복본봉부북분불비빈사산살삼상새색생서석선설섬성세소속손송수숙순술스습승시식신실심아악안알암압앙애액야약양어억언업에"
    "여역연열염영예오옥온올옵완왕외요용우운울원월위유육은을음응의이익인일임입있자작잔잠장재저적전절점정제조족존종좌주죽중증지직진질집"
    "차찬참창채책처천철청체초총최추축출충취측층치칙친침카코크타탁탄탈태택터테토통투트특파판팔패편평포표품풍프피필하학한할함합항해행향"
    "허험현형혜호화확환활황회획효후훈휴희히힘값앞없었했됨됩된"
)
_COMMON_SIMPLIFIED = (
    "的一是了我不人在他有这上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学么之都好看起发当没"
    "成只如事把还用第样道想作种开美总从无情己面最女但现前些所同日手又行意动方期它头经长儿回位分爱老因很给名法间斯知世什两次使身者被高"
    "已亲其进此话常与活正感见明问力理尔点文几定本公特做外孩相西果走将月十实向声车全信重三机工物气每并别真打太新比才便夫再书部水像眼等"
    "体却加电主界门利海受听表德少克代员许先口由死安写性马光白或住难望教命花结乐色更拉东神记处让母父应直字场平报友关放至张认接告入笑内"
    "英军候民岁往何度山觉路带万男边风解叫任金快原吃妈变通师立象数四失满战远格士音轻目条京上海市省区县州广深圳北南城街号产品价类型单"
    "量件元额姓名性别男女地址电话日期编号称备注合计科技有限司销售库存备状态完待已否温湿压速率值测结"
)
_COMMON_TRADITIONAL = (
    "的一是了我不人在他有這上們來到時大地為子中你說生國年著就那和要她出也得裡後自以會家可下而過天去能對小多然於心學麼之都好看起發當沒"
    "成只如事把還用第樣道想作種開美總從無情己面最女但現前些所同日手又行意動方期它頭經長兒回位分愛老因很給名法間斯知世什兩次使身者被高"
    "已親其進此話常與活正感見明問力理爾點文幾定本公特做外孩相西果走將月十實向聲車全信重三機工物氣每並別真打太新比才便夫再書部水像眼等"
    "體卻加電主界門利海受聽表德少克代員許先口由死安寫性馬光白或住難望教命花結樂色更拉東神記處讓母父應直字場平報友關放至張認接告入笑內"
    "台北中高雄桃園竹縣市區路街號香港澳灣產品價類型單量件額姓電話期編稱備註計科技限司銷售庫存狀態完待否溫濕壓速率值測結"
)
_COMMON_KANJI = (
    "日一国会人年大十二本中長出三同時政事自行社見月分議後前民生連五発間対上部東者党地合市業内相方四定今回新場金員九入選立開手米力学問"
    "高代明実円関決子動京全目表戦経通外最言氏現理調体化田当八六約主題下首意法不来作性的要用制治度務強気小七成期公野協取都和統以機平総"
    "加山思家話世受区領多県続進正安設保改数記院女初北午指権心界支第産結百派点教報済書府活原先共得解名交資予川向際査勝面委告軍文反元重"
    "近千考判認画海参売利組知案道信策集在件団別物側任引使求所次水半品昨論計死官増係感特情投示変打男基私各始島直両朝革価式確村提運終挙"
    "阪大福岡神奈川札幌横浜名古屋城埼玉葉静兵庫広口番号氏種類量状態商顧客注数額住電温湿圧速値測"
)
_CJK_MARKS = "、。「」『』（）・～〜：；！？％＋－／　《》〈〉【】…※○●△▲□■◇◆→←↑↓℃㎡"
_SIGNS = "°€£§–—’‘“”…©®±·×µ²³½¼¾«»¡¿ªº¥™№"
_LATIN = "éèêëàâäáãåæçíìîïñóòôöõøœßúùûüýÿÉÈÊÀÂÄÁÅÆÇÍÎÑÓÔÖØŒÚÛÜß"

_EAST_ASIAN = ("cp949", "cp932", "gb18030", "cp950", "euc_jp")
"""In the order in which they are taken where several fit as well."""
_SINGLE = ("cp1252", "cp1251", "cp1250", "cp1253", "cp1254", "koi8_r")
_FITS = 0.35
"""Letters that are worth less in mean are not what somebody wrote."""
_USUAL = 0.3
SAMPLE_BYTES = 2**16
_NO_TEXT = rb"[\x00-\x08\x0b\x0e-\x19\x1b-\x1f]"

NAMES = {
    "utf-8": "UTF-8",
    "utf-16": "UTF-16",
    "utf-32": "UTF-32",
    "cp949": "CP949 (Korean)",
    "cp932": "Shift-JIS (Japanese)",
    "euc_jp": "EUC-JP (Japanese)",
    "gb18030": "GB18030 (Chinese)",
    "cp950": "Big5 (Chinese)",
    "cp1252": "Windows-1252 (Western European)",
    "cp1250": "Windows-1250 (Central European)",
    "cp1251": "Windows-1251 (Cyrillic)",
    "koi8_r": "KOI8-R (Cyrillic)",
    "cp1253": "Windows-1253 (Greek)",
    "cp1254": "Windows-1254 (Turkish)",
}
"""How people call them."""


def guess_encoding(content: bytes, usual: str = "") -> str | None:
    """The likeliest encoding of text that is not ASCII alone; None where all that fit give no words.

    Args:
        content: the text; lines are looked at that are not of ASCII alone, as many as hold 64 kB.
        usual: an encoding that such files were in before.
    """
    if re.search(_NO_TEXT, content[:SAMPLE_BYTES]):
        return None
    sample = _sample(content)
    worth = {encoding: _worth(sample, encoding) for encoding in (*_EAST_ASIAN, *_SINGLE)}
    if worth.get(usual, -1.0) >= 0:
        worth[usual] += _USUAL
    best = max(worth, key=worth.__getitem__)
    return best if worth[best] >= _FITS else None


def _sample(content: bytes) -> bytes:
    size, lines = 0, []
    for line in re.finditer(rb"[^\r\n]+[\r\n]*", content):
        if line[0].isascii():
            continue
        lines.append(line[0])
        size += len(line[0])
        if size > SAMPLE_BYTES:
            break
    return b"".join(lines)


def _worth(sample: bytes, encoding: str) -> float:
    """How likely somebody wrote the letters that a sample holds in an encoding, 1 at best; -1 where it does not fit."""
    try:
        text = sample.decode(encoding)
    except UnicodeDecodeError:
        return -1.0
    runs = re.findall(r"[^\x00-\x7f]+", text)
    if not runs:
        return -1.0
    if encoding in _EAST_ASIAN:
        letters = "".join(runs)
        mean = sum(_LETTER_WORTH[encoding](letter) for letter in letters) / len(letters)
        # Korean and Chinese are Japanese letters in this one, but only Japanese has kana.
        return mean if encoding != "euc_jp" or re.search("[ぁ-ヺ]", letters) else mean * 0.6
    words = [word for word in re.findall(r"[^\W\d_]+|[^\x00-\x7f]", text) if not word.isascii()]
    worth = [(_word_worth(word, encoding), sum(not letter.isascii() for letter in word)) for word in words]
    return sum(each * n for each, n in worth) / sum(n for _, n in worth)


def _hangul(letter: str) -> float:
    if letter in _COMMON_HANGUL:
        return 1.0
    if "가" <= letter <= "힣":
        # Of letters outside of the Korean standard, the codec makes eight bytes.
        return 0.45 if len(letter.encode("euc_kr", "ignore")) == 2 else -0.6
    return _other(letter, "ㄱㅎ一鿿")


def _japanese(letter: str) -> float:
    if "ぁ" <= letter <= "ヺ" or letter == "ー":
        return 1.0
    if "｡" <= letter <= "ﾟ":  # half as wide: each byte of nearly any text is one
        return 0.1
    if letter in _COMMON_KANJI:
        return 0.95
    lead = letter.encode("euc_jp", "ignore")[:1]
    return (0.55 if b"\xb0" <= lead <= b"\xcf" else -0.1) if "一" <= letter <= "鿿" else _other(letter, "")


def _chinese(common: str, encoding: str, first_rows: tuple[bytes, bytes]) -> Callable[[str], float]:
    """Of letters in one way to write Chinese: frequent ones, those in the first rows of its standard, and others."""
    low, high = first_rows

    def worth(letter: str) -> float:
        if letter in common:
            return 0.95
        lead = letter.encode(encoding, "ignore")[:1]
        if "一" <= letter <= "鿿":
            return 0.4 if low <= lead <= high else 0.0 if lead else -0.5
        return _other(letter, "")

    return worth


def _other(letter: str, rare: str) -> float:
    if letter in _CJK_MARKS:
        return 0.5
    if rare and (rare[0] <= letter <= rare[1] or rare[2] <= letter <= rare[3]):
        return 0.0
    if "！" <= letter <= "～":  # Latin letters as wide as Chinese ones
        return 0.4
    return -2.0 if unicodedata.category(letter) in ("Cc", "Cn", "Co") else -0.4


_LETTER_WORTH = {
    "cp949": _hangul,
    "cp932": _japanese,
    "euc_jp": _japanese,
    "gb18030": _chinese(_COMMON_SIMPLIFIED, "gb2312", (b"\xb0", b"\xd7")),
    "cp950": _chinese(_COMMON_TRADITIONAL, "big5", (b"\xa4", b"\xc6")),
}

_VOWELS, _RARE = "(?i)[аеёиоуыэюяіαεηιουωάέήίόύώ]", "(?i)[ђѓљњќћџґўѕј]"
_ALPHABETS: Mapping[str, str] = {"cp1251": "CYRILLIC", "koi8_r": "CYRILLIC", "cp1253": "GREEK"}


def _word_worth(word: str, encoding: str) -> float:
    """Of a word, or a sign, that is not of ASCII alone."""
    if len(word) == 1 and not word.isalpha():
        return 0.45 if word in _SIGNS else -2.0 if unicodedata.category(word)[0] == "C" else -0.3
    odd_case = re.search(r"[^\W\d_]", word) and not (word.islower() or word.isupper() or word.istitle())
    alphabet = _ALPHABETS.get(encoding)
    if alphabet:
        one = all(unicodedata.name(letter, "").startswith(alphabet) for letter in word)
        if odd_case or not one:
            return -0.5
        if len(word) < 4 and word.isupper():
            return 0.4
        return 0.85 if len(word) > 1 and re.search(_VOWELS, word) and not re.search(_RARE, word) else 0.2
    foreign = [letter for letter in word if not letter.isascii()]
    if odd_case or len(foreign) > max(1, 0.75 * len(word)):
        return -0.6
    usual = (
        _LATIN
        if encoding == "cp1252"
        else _LATIN + {"cp1250": "ąćęłńśźżčďěňřšťůžőűăâîșțĄĆĘŁŃŚŹŻČĎĚŇŘŠŤŮŽŐŰ", "cp1254": "ğışİĞŞ"}[encoding]
    )
    return sum(0.9 if letter in usual else 0.1 for letter in foreign) / len(foreign)
