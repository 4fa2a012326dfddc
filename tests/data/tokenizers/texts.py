"""The texts that every kind of tokenizer is compared on."""

TEXTS = [
    "", " ", "a", "Hello, world!", "The quick brown fox jumps over the lazy dog.",
    "Hello, world! It's 2024.", "  two  spaces   then\ttab ", "I'LL we'Re don't 'ſ 's",
    "1234567 3.14159 1,000", "a\r\nb\n\n\nc  \n  d", 'x=1;y["k"]+=~z^2|w',
    "深度求索 發布 2 新模型。", "日本語のテキスト カタカナ", "한국어 텍스트입니다", "Привет, мир! Ёж",
    "مرحبا ١٢٣", "é café naïve", "e\u0301 cafe\u0301 nai\u0308ve", "😀👩\u200d👩\u200d👧 ok",
    "camelCaseWORDS HTTPServer", "\xa0nbsp\u3000wide\u2028line", "½ ² Ⅻ ٣",
    "... --- !?  (a)", "ώ Ω K ΐ ǅ ʰ ƻ", "trailing   ", "   leading", "   \n", "\n\n\n", "\t\t x",
    "$5 + €6 = £7 `code`", "漢字abc漢字 ABC漢", "https://example.org/a?b=c#d",
    "क्षत्रिय नमस्ते", "'", "'s's 'll", "\u180e x\u180e\u180ey", "\x01 \x7f",
    "ﬁ ﬀ Ａｂｃ ！：～", "Ა ა 𐐀𐐨 𞤀", "ไทย ภาษาไทย", "ພາສາລາວ", "ភាសាខ្មែរ", "မြန်မာဘာသာ",
    "বাংলা ভাষা", "தமிழ் மொழி", "తెలుగు", "ಕನ್ನಡ", "മലയാളം", "ગુજરાતી", "ਪੰਜਾਬੀ", "සිංහල",
    "አማርኛ", "ქართული", "Հայերեն", "עברית שלום", "Ελληνικά ΑΒΓ", "Türkçe İıŞş", "Tiếng Việt",
    "བོད་སྐད", "ᠮᠣᠩᠭᠣᠯ", "ㄅㄆㄇ ㄱㄴㄷ", "、。「引用」…—“x”‘y’", "🏳️‍🌈🇩🇪👍🏽❤️", "𝒳𝓎𝔷 ℝℕ",
    "1 12 123 1234 12345 123456 1234567 12345678", "007 3.0e-10 0xFF 1_000 ١٢٣٤٥٦ 百二十",
    "a1b22c333d4444", "def f(x):\n    return x ** 2  # ok\n\n\n", "if (a && b) { c[0] = d->e; }",
    "<a href=\"x\">y</a>", "/* c */ //d\n/usr/local/bin/", "A\u0300\u0301\u0302 \u0301x", "ABCdefGHI XyZ",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "          ", "word " * 6, "\u2581x \u2581\u2581 y",
    "\ufeffbom", "soft\u00adhyphen zero\u200bwidth", "\U000e0041\U000f0000\U0010ffff",
    "don’t ‘quote’ «x» „y“", "x\u0085y\u2029z", "50% @user #tag a_b-c d.e,f;g:h!i?",
    "of in the and to for that with as his is on at by from", "IMGIMGABCDZ <sentinel:12>",
    "a b c d e f", "ää öö ß ẞ ÀÉÎ", "12½ 123½456 ³²¹", "1\n2\r3\r\n4", " \n \n x", "a\u3000\u3000b",
]

# Bytes that are no UTF-8, whole or in part.
BYTES = [
    b"\xff", b"\xff\xfe\xfd", b"\xc3", b"a\xc3", b"ok \xf0\x9f\x98 ok \xff", b"\xe4\xbd", b"\xed\xa0\x80",
    b"\xc0\x80", b"\x80\x81 x", b"\xf5\x90", b"caf\xe9 na\xefve", b"\xe4\xbd\xa0\xff\xe5\xa5\xbd",
    b"\xf8\x88\x80\x80\x80", b"x\xffy\xfez", b" \xff ", b"\xf0\x90\x80",
]
