"""Short templates that together use every feature, with their variables."""

V = {
    "s": "Héllo, Wörld",
    "t": "  a b\tc  \n",
    "n": 7,
    "f": 2.5,
    "l": [3, 1, 2],
    "words": ["b", "A", "c", "a"],
    "d": {"b": 1, "a": [1, {"x": None}], "C": True},
    "users": [
        {"name": "Ann", "age": 30, "tags": ["x"], "in": {"k": [5]}},
        {"name": "bob", "age": 25, "tags": [], "in": {"k": [6]}},
        {"name": "Cid", "age": 30, "in": {}},
    ],
    "none": None,
    "yes": True,
    "no": False,
    "q": "it's \"q\"",
    "empty": "",
    "tree": [{"n": "a", "c": [{"n": "b", "c": []}, {"n": "c", "c": [{"n": "d"}]}]}, {"n": "e"}],
}

TEMPLATES = r"""
{{ s }}|{{ n }}|{{ f }}|{{ yes }}|{{ none }}|{{ missing }}|{{ l }}|{{ d }}
{{ [1, 'a', "it's", q, 1.0, none, (1,), (), {}, {'k': (1, 2)}] }}
{{ 1 + 2 * 3 - 4 / 2 }}|{{ 7 // 2 }}|{{ -7 // 2 }}|{{ 7 % 3 }}|{{ -7 % 3 }}|{{ 7 % -3 }}|{{ 2 ** 10 }}|{{ 2 ** -1 }}|{{ 2 ** 3 ** 2 }}|{{ -2 ** 2 }}
{{ 7.5 // 2 }}|{{ -7.5 % 2 }}|{{ 7.5 % -2 }}|{{ 1 / 3 }}|{{ 1e3 }}|{{ 1.5e-7 }}|{{ 1e16 }}|{{ 123456789.123 }}|{{ 1e22 }}|{{ 0.1 + 0.2 }}|{{ 100.0 }}|{{ -0.0 }}|{{ 5e-324 }}
{{ 1_000 + 0x1F + 0o17 + 0b101 }}|{{ 1_0.5_0 }}|{{ 1e1 }}
{{ true + true }}|{{ True and 3 }}|{{ 0 or 'x' }}|{{ not 1 }}|{{ none or none }}|{{ '' and 1 }}
{{ 1 < 2 < 3 }}|{{ 1 < 2 > 3 }}|{{ 'a' < 'b' }}|{{ [1, 2] < [1, 3] }}|{{ 1 == 1.0 }}|{{ true == 1 }}|{{ 'a' != 'b' }}|{{ 1 == '1' }}
{{ 'a' in 'abc' }}|{{ 2 in l }}|{{ 'b' in d }}|{{ 'z' not in d }}|{{ 1 in (1, 2) }}|{{ not 1 in l }}|{{ '' in '' }}
{{ 'a' 'b' "c" }}|{{ 'a' ~ 1 ~ none ~ 2.0 ~ missing ~ [1] }}|{{ 'x' * 3 }}|{{ 3 * 'x' }}|{{ [1] * 2 }}|{{ [1] + [2] }}|{{ (1,) + (2,) }}|{{ 'x' * -1 }}
{{ 'yes' if n > 5 else 'no' }}|{{ 'x' if no }}|{{ 1 if no else 2 if no else 3 }}|{{ ('a' if yes) ~ 'b' }}
{{ s[0] }}|{{ s[-1] }}|{{ s[1:4] }}|{{ s[::-1] }}|{{ s[:-2] }}|{{ s[::3] }}|{{ s[99:] }}|{{ s[-3:] }}|{{ s[5:1:-1] }}|{{ s[99] }}
{{ l[0] }}|{{ l[-1] }}|{{ l[1:] }}|{{ l[::-1] }}|{{ l[99] }}|{{ l[:1] }}|{{ (1, 2, 3)[1:] }}|{{ l[::2] }}|{{ l[-1:0:-1] }}|{{ l[true] }}
{{ d.b }}|{{ d['b'] }}|{{ d.a[1].x }}|{{ d.a.1.x }}|{{ d['a'][0] }}|{{ d.zz }}|{{ d['zz'] }}|{{ d.get('zz') }}|{{ d.get('zz', 5) }}|{{ d.items() | list }}|{{ d.keys() | list }}|{{ d.values() | list }}
{{ d.items() }}|{{ d.keys() }}|{{ d.values() }}|{{ range(3) }}|{{ range(1, 10, 3) }}|{{ range(3) | list }}|{{ range(5, 0, -2) | list }}
{{ {'a': 1, 'b': {'c': [1, 2]}, 3: 'x', none: 1, 1.5: 2, (1, 2): 3} }}|{{ {'a': 1}['a'] }}|{{ {1: 'x'}[1] }}|{{ {'a': 1, 'a': 2} }}|{{ {'a': 1} == {'a': 1.0} }}|{{ {} == {} }}
{{ users[0].name }}|{{ users[0]['in'].k[0] }}|{{ users[0]['in']['k'] }}|{{ users[-1].tags }}
{{ missing is defined }}|{{ n is defined }}|{{ d.zz is undefined }}|{{ n is number }}|{{ n is integer }}|{{ f is float }}|{{ yes is boolean }}|{{ yes is integer }}|{{ yes is number }}|{{ s is string }}|{{ d is mapping }}|{{ l is sequence }}|{{ l is iterable }}|{{ n is iterable }}|{{ none is none }}|{{ s is sequence }}|{{ d is sequence }}|{{ d.items() is sequence }}|{{ missing is iterable }}|{{ missing is sequence }}
{{ n is odd }}|{{ n is even }}|{{ n is divisibleby 7 }}|{{ n is divisibleby(2) }}|{{ 'a' is lower }}|{{ 'A' is upper }}|{{ n is eq 7 }}|{{ n is gt 5 }}|{{ n is lt(5) }}|{{ n is ge 7 }}|{{ n is le 7 }}|{{ n is ne 7 }}|{{ n is in [7, 8] }}|{{ yes is true }}|{{ no is false }}|{{ 1 is true }}|{{ none is sameas none }}|{{ 'upper' is filter }}|{{ 'nope' is filter }}|{{ 'odd' is test }}|{{ range is callable }}|{{ n is callable }}|{{ n is not odd }}|{{ s is not string }}|{{ 'x' is escaped }}
{{ n is equalto 7 and n is greaterthan 3 }}|{{ n is not defined or n is lessthan 8 }}|{{ l is sameas l }}
{{ n is == 7 }}
{{ s | upper }}|{{ s | lower }}|{{ s | capitalize }}|{{ s | title }}|{{ t | trim }}|{{ 'xxaxx' | trim('x') }}|{{ s | length }}|{{ s | count }}|{{ s | reverse }}|{{ s | replace('l', 'L') }}|{{ s | replace('l', 'L', 1) }}|{{ n | string }}|{{ s | list }}
{{ 'straße ǆ' | upper }}|{{ 'ÀÉ' | lower }}|{{ 'hello-world foo_bar (x) [y] a.b' | title }}|{{ "it's a dog's" | title }}|{{ 'ǆ' | title }}
{{ 3.14159 | round(2) }}|{{ 2.5 | round }}|{{ 3.5 | round }}|{{ 2.675 | round(2) }}|{{ 1234 | round(-2) }}|{{ 2.1 | round(0, 'ceil') }}|{{ 2.9 | round(method='floor') }}|{{ 5 | round }}|{{ 1e300 | round(3) }}
{{ '42' | int }}|{{ 'x' | int }}|{{ 'x' | int(5) }}|{{ '0x1f' | int(0, 16) }}|{{ 'ff' | int(base=16) }}|{{ 3.9 | int }}|{{ '3.7' | int }}|{{ -3.9 | int }}|{{ none | int }}|{{ yes | int }}|{{ ' 12 ' | int }}|{{ '1_000' | int }}|{{ '1__0' | int }}|{{ '-7' | int }}
{{ '1.5' | float }}|{{ 'x' | float }}|{{ 'x' | float(2) }}|{{ 3 | float }}|{{ 'inf' | float }}|{{ '1e3' | float }}|{{ none | float }}|{{ 'nan' | float }}
{{ -5 | abs }}|{{ 5.5 | abs }}|{{ -5.5 | abs }}|{{ (-3) | abs }}
{{ missing | default('d') }}|{{ none | default('d') }}|{{ none | default('d', true) }}|{{ '' | d('e', boolean=true) }}|{{ missing | default }}|{{ n | d(1) }}|{{ missing | default(none) }}
{{ l | join(', ') }}|{{ l | join }}|{{ users | join('/', attribute='name') }}|{{ s | join('.') }}|{{ [1, none, 'x'] | join('-') }}|{{ {} | join }}|{{ d | join(',') }}
{{ l | first }}|{{ l | last }}|{{ [] | first }}|{{ s | first }}|{{ s | last }}|{{ d | first }}|{{ d | last }}|{{ [] | last }}|{{ missing | first }}
{{ l | sort }}|{{ l | sort(reverse=true) }}|{{ words | sort }}|{{ words | sort(case_sensitive=true) }}|{{ users | sort(attribute='age') | map(attribute='name') | list }}|{{ users | sort(attribute='age,name', reverse=true) | map(attribute='name') | join(',') }}|{{ [[2, 1], [1, 2]] | sort }}
{{ l | min }}|{{ l | max }}|{{ words | min }}|{{ words | max }}|{{ [] | max }}|{{ users | max(attribute='age') }}|{{ words | min(true) }}|{{ l | sum }}|{{ users | sum(attribute='age') }}|{{ l | sum(start=10) }}|{{ [0.5, 1] | sum }}|{{ [[1], [2]] | sum(start=[]) }}
{{ words | unique | list }}|{{ words | unique(true) | list }}|{{ users | unique(attribute='age') | map(attribute='name') | list }}|{{ [1, 1.0, true, 2] | unique | list }}
{{ words | map('upper') | list }}|{{ users | map(attribute='name') | list }}|{{ users | map(attribute='tags', default=[]) | list }}|{{ users | map(attribute='in.k.0', default='-') | join(',') }}|{{ l | map('string') | join('+') }}|{{ words | map('replace', 'a', 'z') | list }}|{{ [[1, 2], [3]] | map('length') | list }}|{{ missing | map('upper') | list }}
{{ l | select('odd') | list }}|{{ l | reject('odd') | list }}|{{ l | select('>', 1) | list }}|{{ users | selectattr('age', 'equalto', 30) | map(attribute='name') | list }}|{{ users | rejectattr('tags') | map(attribute='name') | list }}|{{ users | selectattr('tags', 'defined') | list | length }}|{{ [0, 1, '', 'a', none] | select | list }}|{{ users | selectattr('age', 'in', [25]) | map(attribute='name') | first }}|{{ users | selectattr('in.k', 'undefined') | map(attribute='name') | list }}
{% for g in users | groupby('age') %}{{ g.grouper }}:{{ g.list | map(attribute='name') | join(',') }};{% endfor %}|{% for k, v in users | groupby('tags', default=[]) %}{{ k }}={{ v | length }};{% endfor %}|{{ words | groupby(0) | map('first') | list }}
{{ d | dictsort }}|{{ d | dictsort(true) }}|{{ {'x': 2, 'y': 1} | dictsort(by='value') }}|{{ {'x': 2, 'y': 1} | dictsort(false, 'key', true) }}
{{ d | items | list }}|{{ missing | items | list }}|{% for k, v in d | items %}{{ k }};{% endfor %}
{{ range(7) | batch(3) | list }}|{{ range(7) | batch(3, 'x') | list }}|{{ range(7) | slice(3) | list }}|{{ range(7) | slice(3, 'x') | list }}|{{ l | reverse | list }}|{{ 'ab' | list }}|{{ d | list }}|{{ l | list }}
{{ 'one two three four' | truncate(9) }}|{{ 'one two three four' | truncate(9, true) }}|{{ 'one two three four' | truncate(11, false, '…', 0) }}|{{ 'short' | truncate(3, leeway=5) }}|{{ 'onetwothreefourfive' | truncate(9) }}|{{ 'äöüäöüäöüäöü' | truncate(6, true, end='~', leeway=0) }}
{{ 'a\nb\n\nc' | indent }}|{{ 'a\nb\n\nc' | indent(2, true) }}|{{ 'a\nb\n\nc' | indent(1, blank=true) }}|{{ 'a\nb' | indent('> ', first=true) }}|{{ '' | indent }}|{{ 'a\r\nb\n' | indent(1) }}
{{ 'ab' | center(7) }}|{{ 'abc' | center(8) }}|{{ 'abc' | center(2) }}|{{ 'a b  c d_e é' | wordcount }}|{{ '<a href="x">&\'</a>' | e }}|{{ '<b>' | escape }}|{{ '<b>' | safe }}|{{ '<b>' | forceescape }}
{{ 'a b/c?d=é&f' | urlencode }}|{{ {'a b': 'c d', 'e': 1} | urlencode }}|{{ [('x', '/')] | urlencode }}|{{ 1000 | filesizeformat }}|{{ 1 | filesizeformat }}|{{ 123456789 | filesizeformat }}|{{ 1048576 | filesizeformat(true) }}|{{ 1024 | filesizeformat(binary=true) }}|{{ 999 | filesizeformat }}|{{ -1.5 | filesizeformat }}
{{ '%s is %d' | format('x', 3) }}|{{ '%(a)s' | format(a=1) }}|{{ '%s' % 'x' }}|{{ '%s %s' % ('a', 1) }}|{{ '%5d|%-5d|%05d|%+d' % (1, 2, 3, 4) }}|{{ '%.2f %8.3f %e %g' % (1.005, 2.5, 12345.678, 0.0001) }}|{{ '%x %X %o %%' % (255, 255, 8) }}|{{ '%r %s' % ('a', [1]) }}|{{ '%5s|%-5s|%.1s' % ('ab', 'ab', 'ab') }}|{{ '%*d' % (5, 1) }}|{{ '%*d!' % (-5, 1) }}|{{ '%-05d!' % 3 }}|{{ '%#x %#o' % (255, 8) }}|{{ '%i' % 3.7 }}|{{ '% d' % 5 }}|{{ '%G' % 1e20 }}|{{ '%(b)s-%(C)s' % d }}
{{ '{} {}'.format(1, 'a') }}|{{ '{1}{0}'.format('a', 'b') }}|{{ '{x}'.format(x=1) }}|{{ '{0[a]} {0.b}'.format({'a': 1, 'b': 2}) }}|{{ '{{}}'.format() }}|{{ '{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd') }}|{{ '{:05d}|{:+}|{:,}|{:_}'.format(42, 1, 1234567, 1234567) }}|{{ '{:.2f}|{:10.3f}|{:e}|{:g}|{:%}'.format(1.5, 2.25, 1234.5, 0.5, 0.25) }}|{{ '{!r}|{!s}'.format('a', 'b') }}|{{ '{:x}|{:#x}|{:b}|{:o}|{:X}'.format(255, 255, 5, 8, 171) }}|{{ '{:{}}|'.format('a', 4) }}|{{ '{0:.3}|{1:.1}|{1:.3}|{2:.3}|{2:.5}'.format('abcdef', 3.14159, 100.0) }}|{{ '{}'.format(none) }}|{{ '{:>6}'.format(true) }}|{{ '{:,.2f}'.format(1234567.891) }}|{{ '{a[k]}'.format_map({'a': {'k': 9}}) }}
{{ s.upper() }}|{{ s.lower() }}|{{ s.title() }}|{{ s.capitalize() }}|{{ s.swapcase() }}|{{ "they're bill's".title() }}|{{ 'HELLO'.casefold() }}|{{ 'Straße'.casefold() }}|{{ '1a b2c'.title() }}
{{ t.strip() }}|{{ t.lstrip() }}|{{ t.rstrip() }}|{{ 'xyaxy'.strip('xy') }}|{{ 'xyaxy'.lstrip('yx') }}|{{ 'xyaxy'.rstrip('y') }}|{{ '\u3000a\u00a0'.strip() }}|{{ 'a\x1c'.strip() }}|{{ t.strip('') }}
{{ 'a,b,,c'.split(',') }}|{{ 'a,b,,c'.split(',', 1) }}|{{ ' a  b c '.split() }}|{{ ' a  b c '.split(none, 1) }}|{{ 'a,b,c'.rsplit(',', 1) }}|{{ ' a b  c '.rsplit(none, 1) }}|{{ ''.split() }}|{{ ''.split(',') }}|{{ 'aXXbXXc'.split('XX') }}|{{ 'a b'.split(maxsplit=0) }}|{{ 'abc'.split('', 1) if false else 1 }}|{{ 'aaa'.rsplit('aa') }}
{{ 'a\nb\r\nc\rd\u2028e\n'.splitlines() }}|{{ 'a\nb\n'.splitlines(true) }}|{{ ''.splitlines() }}|{{ '\n\n'.splitlines() }}|{{ 'a=b=c'.partition('=') }}|{{ 'a=b=c'.rpartition('=') }}|{{ 'abc'.partition('x') }}|{{ 'abc'.rpartition('x') }}
{{ s.find('l') }}|{{ s.rfind('l') }}|{{ s.find('z') }}|{{ s.index('W') }}|{{ s.rindex('l') }}|{{ s.count('l') }}|{{ s.find('l', 4) }}|{{ s.find('l', -3) }}|{{ s.find('l', 0, 3) }}|{{ 'aaaa'.count('aa') }}|{{ 'abc'.count('') }}|{{ s.count('l', 5) }}|{{ ''.find('') }}|{{ 'abc'.find('', 9) }}
{{ s.startswith('Hé') }}|{{ s.endswith('ld') }}|{{ s.startswith(('x', 'H')) }}|{{ s.endswith('x') }}|{{ s.startswith('llo', 2) }}|{{ s.removeprefix('Hé') }}|{{ s.removesuffix('rld') }}|{{ s.removeprefix('x') }}|{{ s.replace('o', '0') }}|{{ s.replace('o', '0', 1) }}|{{ 'abc'.replace('', '-') }}|{{ 'héé'.replace('', '-', 2) }}|{{ ''.replace('', 'x') }}|{{ 'aaa'.replace('aa', 'b') }}
{{ '-'.join(['a', 'b']) }}|{{ ''.join('abc') }}|{{ ', '.join(d) }}|{{ 'a'.center(5, '*') }}|{{ 'ab'.center(5) }}|{{ 'a'.ljust(3, '.') }}|{{ 'a'.rjust(3) }}|{{ '42'.zfill(5) }}|{{ '-42'.zfill(5) }}|{{ 'a'.zfill(-1) }}|{{ 'a'.center(-5) }}|{{ 'a\tb'.expandtabs() }}|{{ 'a\tbc\td'.expandtabs(4) }}
{{ 'abc'.isalpha() }}|{{ 'ab1'.isalnum() }}|{{ '12'.isdigit() }}|{{ '²'.isdigit() }}|{{ '²'.isdecimal() }}|{{ '½'.isnumeric() }}|{{ ' \t'.isspace() }}|{{ ''.isspace() }}|{{ 'ab'.islower() }}|{{ 'aB'.islower() }}|{{ 'AB1'.isupper() }}|{{ 'Ab Cd'.istitle() }}|{{ 'ab'.istitle() }}|{{ 'a_1'.isidentifier() }}|{{ '1a'.isidentifier() }}|{{ 'a\n'.isprintable() }}|{{ 'aé'.isascii() }}|{{ 'ß日本'.isalpha() }}
{{ l.index(2) }}|{{ l.count(1) }}|{{ (1, 2, 1).count(1) }}|{{ l.copy() }}|{{ d.copy() == d }}|{{ l.append is defined }}|{{ d.update is defined }}
{{ l.append(1) }}
{{ d.pop('b') }}
{{ d | tojson }}|{{ users | tojson(indent=2) }}|{{ q | tojson }}|{{ s | tojson }}|{{ s | tojson(ensure_ascii=true) }}|{{ '🙂\u2028\x7f\x00\t</script>' | tojson }}|{{ '🙂' | tojson(ensure_ascii=true) }}|{{ [1.0, 1e20, 0.1, -0.0, 1e-7] | tojson }}|{{ (1, 2) | tojson }}|{{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }}|{{ [] | tojson(indent=4) }}|{{ {} | tojson(indent=4) }}|{{ [[], {}] | tojson(indent=1) }}|{{ d | tojson(separators=(',', ':')) }}|{{ {'b': 1, 'a': {'d': 1, 'c': 2}} | tojson(sort_keys=true) }}|{{ [1, [2]] | tojson(indent='\t') }}|{{ [1] | tojson(indent=0) }}
{{ missing | tojson }}
{{ range(3) | tojson }}
{{ [1, missing] | tojson }}
{% for x in l %}{{ loop.index }},{{ loop.index0 }},{{ loop.revindex }},{{ loop.revindex0 }},{{ loop.first }},{{ loop.last }},{{ loop.length }},{{ loop.previtem }},{{ loop.nextitem }},{{ loop.depth }},{{ loop.depth0 }};{% endfor %}
{% for x in [1, 1, 2] %}{{ loop.changed(x) }}{{ loop.cycle('a', 'b') }}{% endfor %}|{% for x in [] %}x{% else %}none{% endfor %}|{% for x in missing %}x{% else %}none{% endfor %}
{% for x in range(10) if x is odd %}{{ x }}{{ loop.index }}{{ '' if loop.last else ',' }}{% endfor %}|{% for x in range(10) if x > 20 %}x{% else %}none{% endfor %}|{% for x in range(6) if x % 2 %}{{ loop.length }}{{ loop.revindex }}{{ loop.nextitem }};{% endfor %}
{% set k = 1 %}{% for x in range(6) if x > k %}{% set k = 5 %}{{ x }}{{ loop.last }}{% endfor %}
{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}|{% for x in [1] %}{% break %}{% else %}else{% endfor %}|{% for x in [1, 2] %}{% continue %}{% else %}else{% endfor %}|{% for x in [1, 2] %}{% for y in [1, 2, 3] %}{% if y == 2 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{% endfor %}
{% for a, b in [(1, 2), (3, 4)] %}{{ a }}-{{ b }};{% endfor %}{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for c in 'hé🙂' %}[{{ c }}]{% endfor %}
{% for item in tree recursive %}{{ item.n }}{{ loop.depth }}{% if item.c %}({{ loop(item.c) }}){% endif %}{{ ',' if not loop.last }}{% endfor %}
{% for x in [1, 2] %}{% set y = x %}{% endfor %}{{ y }}|{% set z = 1 %}{% for x in [1, 2] %}{% set z = z + x %}{{ z }}{% endfor %}{{ z }}|{% set ns = namespace(z=1) %}{% for x in [1, 2] %}{% set ns.z = ns.z + x %}{% endfor %}{{ ns.z }}|{% if true %}{% set w = 5 %}{% endif %}{{ w }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}|{% set c = 1, 2 %}{{ c }}|{% set (e, g) = [3, 4] %}{{ e }}{{ g }}|{% set x %}hi {{ n }}{% endset %}{{ x }}|{% set y | upper | replace('A', 'b') %}abc{% endset %}{{ y }}|{% set ns = namespace({'a': 1}, b=2) %}{% set ns.c %}blk{% endset %}{{ ns.a }}{{ ns.b }}{{ ns.c }}{{ ns.d }}|{{ ns.d is defined }}
{% with a=1, b=2 %}{{ a }}{{ b }}{% endwith %}{{ a }}|{% set q = 1 %}{% with q=2, r=q %}{{ q }}{{ r }}{% endwith %}{{ q }}|{% with %}{% set q = 9 %}{{ q }}{% endwith %}{{ q }}
{% macro m(a, b='x', c=none) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(1, c=3) }}{{ m(b=1, a=2) }}{{ m() }}|{{ m.name }}{{ m.arguments }}|{{ m is callable }}
{% macro m(a) %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}{{ m() }}
{% macro m(a, b=a ~ '!') %}{{ a }}{{ b }}{% endmacro %}{{ m('x') }}{{ m('x', 'y') }}|{% macro f(n) %}{{ n if n < 2 else n * (f(n - 1) | int) }}{% endmacro %}{{ f(10) }}
{% macro m() %}a{% endmacro %}{{ m(1) }}
{% macro m() %}a{% endmacro %}{{ m(x=1) }}
{% macro wrap(tag) %}<{{ tag }}>{{ caller() }}</{{ tag }}>{% endmacro %}{% call wrap('b') %}in {{ n }}{% endcall %}|{% macro each(items) %}{% for i in items %}{{ caller(i, loop.index) }};{% endfor %}{% endmacro %}{% call(x, k) each(l) %}{{ k }}:{{ x }}{% endcall %}|{% macro opt(caller=none) %}{{ caller() if caller else 'no' }}{% endmacro %}{{ opt() }}{% call opt() %}yes{% endcall %}
{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}
{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}
{% macro outer() %}{% macro inner(x) %}<{{ x }}>{% endmacro %}{{ inner(1) }}{{ inner(v) }}{% endmacro %}{% set v = 2 %}{{ outer() }}|{% set fmt = outer %}{{ fmt() }}
{% macro show() %}{{ loop is defined }}{{ x is defined }}{% endmacro %}{% for x in [1] %}{{ show() }}{% endfor %}{% set x = 3 %}{{ show() }}
{% filter upper %}abc {{ s }}{% endfilter %}|{% filter replace('a', 'b') | trim %}  aaa {% endfilter %}|{% block title %}in block {{ n }}{% endblock title %}|{% print n, 1 %}|{% generation %}gen {{ n }}{% set inner = 1 %}{% endgeneration %}{{ inner is defined }}
{{ n, 1 }}|{{ (1) }}|{{ (1,) }}|{{ () }}|{{ [1, 2,] }}|{{ {'a': 1,} }}
{% raw %}{{ not }} {% here %}{% endraw %}|{%- raw -%}  x {{ y }}  {%- endraw -%}  |{# comment #}|{#- c -#}  |{{ '{{' }}{{ '%}' }}
{% if no %}a{% elif n == 7 %}b{% else %}c{% endif %}{% if missing %}x{% endif %}{% if not missing %}y{% endif %}{% if d %}d{% endif %}{% if [] %}e{% else %}f{% endif %}{% if 0.0 %}g{% else %}h{% endif %}{% if '' or none or () %}i{% else %}j{% endif %}
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}|{% set j = joiner(', ') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}|{% set k = joiner() %}{{ k() }}x{{ k() }}|{{ dict(a=1, b=2) }}|{{ dict({'x': 1}, y=2) }}|{{ dict([('k', 1)]) }}
{% set g = l | map('string') %}{{ g | first }}{{ g | list }}{{ g | list }}|{% set h = [1, 2] | select %}{% for x in h %}{{ x }}{% endfor %}{% for x in h %}{{ x }}{% else %}used{% endfor %}
{{ strftime_now('%Y-%m-%d %H:%M:%S %a %b %j %p') }}|{{ strftime_now('%d %B %Y') }}
{{ raise_exception('out of ' ~ n) }}
{% if n > 5 %}{{ raise_exception("bad é") }}{% endif %}
{{ missing.x }}
{{ n['a':] }}
{{ d[1:] }}
{{ l['a':] }}
{{ missing[1:] }}
{{ d.zz.x }}
{{ missing + 1 }}
{{ 1 + 2 ~ 3 }}
{{ 1 + 'a' }}
{{ 'a' + 1 }}
{{ none.x.y }}
{{ [] < 1 }}
{{ 1 / 0 }}
{{ missing() }}
{{ s.nope() }}
{{ n() }}
{{ 'abc'.index('z') }}
{{ 1 in 'a' }}
{{ 1 in n }}
{% for x in n %}{% endfor %}
{% for x in none %}{% endfor %}
{% set a, b = 1, 2, 3 %}
{% set n.x = 1 %}
{{ s | nope }}
{{ s is nope }}
{{ missing | int }}
{{ n | length }}
{{ l | map('nope') | list }}
{{ range(1000000) }}
{{ [1, 'a'] | sort }}
{{ '%d' % 'x' }}
{{ '%s %s' % 'x' }}
{{ '{}'.format() }}
{{ '{:d}'.format('x') }}
{{ 'a' | truncate(1) }}
{{ {[]: 1} }}
{{ d.get([]) }}
{{ l[::0] }}
{{ ','.join([1]) }}
{{ missing | join(',') }}|{{ missing | length }}|{{ missing ~ 'x' }}|{{ missing | upper }}|{{ missing == missing2 }}|{{ missing == none }}|{{ missing | list }}|{{ [missing] }}|{{ missing in [1] }}|{{ 1 in missing }}|{{ missing | string }}|{{ missing | trim }}|{{ missing or 'o' }}
{{ none.x }}|{{ n.x }}|{{ s.x }}|{{ l.x }}|{{ l['x'] }}|{{ d[1] }}|{{ n[0] }}|{{ none['x'] }}|{{ none[0] }}|{{ s['upper']() }}|{{ d['items']() | list }}|{{ (d | attr('b')) is defined }}|{{ s | attr('upper') is callable }}
{{ {'items': 5}.items() | list }}|{{ {'items': 5}['items'] }}|{{ {'get': 1}.get('get') }}|{{ {'keys': [1]}['keys'] }}
{% if
{{ x
{% for x in %}
{% endfor %}
{% if 1 %}
{{ 1 + }}
{{ (1 }}
{{ [1) }}
{{ 'a }}
{{ a b }}
{% nope %}
{% set 1 = 2 %}
{% set true = 2 %}
{% for loop in l %}{% endfor %}
{{ 1 is defined is true }}
{% macro m(a=1, b) %}{% endmacro %}
{{ f(a=1, 2) }}
{# open
{% raw %} open
{{ ! }}
{{ x | }}
{% break %}
{{ a.b.c.d.e if a is defined else 'u' }}|{{ not not n }}|{{ - - 3 }}|{{ +n }}|{{ -f }}|{{ not n == 7 }}|{{ n == 7 and not no }}|{{ 1 if 0 else 2 if 1 else 3 }}
{{ [x for x in l] }}
{{ l | length > 2 }}|{{ l | length + 1 }}|{{ 'a' ~ 'b' | upper }}|{{ ('a' ~ 'b') | upper }}|{{ -1 | abs }}|{{ '1' + 2 ~ 3 }}|{{ 2 * 3 ~ 4 * 1 }}|{{ n | string | length }}|{{ 'x' | upper ~ 'y' }}|{{ l | first is odd }}|{{ not missing is defined }}
{{ l|map('multiply')|list if false else l|join('|') }}|{{ 'a|b'.split('|')|last }}|{{ users|map(attribute='name')|map('lower')|join(' ')|title }}|{{ d.a|last|tojson }}|{{ (l + [9])|sort|last }}|{{ l|sort|map('string')|join }}
{% macro m(a, b, c) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(*[1, 2], **{'c': 3}) }}{{ m(1, *(2, 3)) }}{{ '{}{}'.format(*[1, 2]) }}{{ dict(**d) }}
{{ 9223372036854775807 }}|{{ 9223372036854775807 - 1 }}|{{ -9223372036854775807 }}|{{ 3000000000 * 3 }}|{{ 10 ** 18 }}|{{ 7 // 2.0 }}|{{ 2 ** 0.5 }}|{{ 1e308 * 10 }}|{{ -1e308 * 10 }}|{{ 5 % 3.5 }}
{{ [1, 2, 3] == [1, 2, 3] }}|{{ (1, 2) == [1, 2] }}|{{ [] == () }}|{{ 'a' == 'a' }}|{{ none == none }}|{{ none == false }}|{{ [1.0] == [1] }}|{{ {'a': [1]} == {'a': [1]} }}|{{ range(3) == range(3) }}
{{ ['a', 'b'] | join(', ') if l else 'x' }}|{{ (l | first, l | last) }}|{{ {'k': l | length}.k }}|{{ {'a': {'b': {'c': 1}}}.a.b.c }}|{{ [[1, 2], [3, 4]][1][0] }}|{{ 'abc'[1:][0] }}|{{ l[l | length - 1] }}|{{ s[n - 7] }}
{{ '' ~ l[1:2] ~ (l | max) }}|{{ users | length }} users{{ 's' if users | length != 1 }}|{{ '%02d:%02d' % (5, 7) }}|{{ 'x'.join(['1'] * 3) }}|{{ ' '.join(s.split()[::-1]) }}|{{ s.split(', ')[1].lower().replace('ö', 'oe') }}
"""


def cut(text):
    """Templates stand one a line; those of several lines are listed apart."""
    return [line for line in text.strip("\n").split("\n")]


WHITESPACE = [
    "  {% if true %}\n    indented\n  {% endif %}\nafter\n  {{ n }}\n",
    "\t{% if true -%}   \n   x   \n  {%- endif +%}\n y\n",
    "{%+ if true %} plus{% endif %}|\n   {%+ if true %}kept{% endif %}\n   {# gone #}\n   a {# stays #} b\n",
    "{# two #}{# three #}\nend  \n{{- ' x ' -}}   \n   next\n\n",
    "a\r\nb\rc\n{% if true %}\r\nd{% endif %}\r\n",
    "{% for x in l %}\n  {{ x }}\n{% endfor %}\n",
    "{% for x in l -%}\n  {{ x }}\n{%- endfor %}\n\n\n",
    "{{ n }}\n\n{{ n }}\n",
    "{% set x = 1 %}\n\n{% set y = 2 %}\n  {% set z = 3 %}  \n{{ x }}{{ y }}{{ z }}",
    "a {% if true %} b {% endif %} c\n  {%- if true %}\n d\n {%- endif -%}\n  e",
    "  {#- a -#}  x\n  {#+ b +#}\n  y{#c#}\n",
    "{% raw %}\n  {{ x }}\n{% endraw %}\n  {% raw -%}  {% y %}  {%- endraw %}\nz",
    "{% raw +%} {% endraw %}",
    "\u00a0{% if true %}a{% endif %}\u2003{%- if true %}b{% endif -%}\u3000c",
    "{%if true%}a{%endif%}{{n}}{%-if true-%} b {%-endif-%} c",
    "{% macro m() %}\n  x\n{% endmacro %}\n[{{ m() }}]\n{%- filter upper %} y {% endfilter %}",
    "{{ 'tab\\there \\x41 \\u00e9 \\U0001F642 \\101 \\q \\' \\\" \\\\ \\\ngo' }}|{{ 'a\nb' }}|{{ \"c\r\nd\" }}",
    "{{\n  n\n  +\n  1\n}}|{%\n if\n n %}x{% endif %}",
    "{{ {'a': {'b': 1}}}}|{{ {'a': {'b': 1}}['a']}}",
    "{{ 1 }}{\n{{ 2 }}}\n{ % if %}{{ '}}' }}#}%}",
    "",
    "\n",
    "\n\n",
    "no tags at all \u00e9",
    "{{ s }}{# x #}\n",
    "{% if yes %}a\n{% else %}b\n{% endif %}\n\n  {% if no %}c{% endif %}\n  \n",
]

# One loop over a conversation that a template like these could hold, for each control.
CHAT = {"messages": [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}, {"role": "user", "content": "c"}]}
CHATS = [
    "{% set ns = namespace(found=false) %}{% for m in messages if not ns.found %}{{ m.content }}{% if m.role == 'tool' %}{% set ns.found = true %}{% endif %}{% endfor %}",
    "{% for m in messages %}{% if m.role == 'tool' %}{% continue %}{% endif %}{{ loop.index }}{{ m.content }}{% endfor %}",
    "{% for m in messages | reverse %}{{ m.content }}{{ loop.revindex0 }}{% endfor %}",
    "{{ (messages | last).content }}{{ messages[-1:] | map(attribute='role') | first }}",
    "{{ messages | map(attribute='content') | join(bos_token | default('')) }}",
    "{% for role, group in messages | groupby('role') %}{{ role }}{{ group | length }}{% endfor %}",
    "{% set last = messages | selectattr('role', 'equalto', 'user') | list | last %}{{ messages.index(last) }}{{ last in messages }}",
    "{{ messages | tojson }}\n{{ messages | tojson(indent=1) }}",
    "{% for m in messages %}{% set ns = namespace(x=m.content) %}{% for m in [ns] %}{{ m.x }}{% endfor %}{{ m.role }}{% endfor %}",
    "{% macro show(m, extra={}) %}{{ m.role ~ extra.get('x', '') }}{% endmacro %}{% for m in messages %}{{ show(m, {'x': loop.index}) }}{% endfor %}",
    "{{ messages }}",
    "{{ messages[0].keys() | list }}{{ 'role' in messages[0] }}{{ messages[0].role in ['user'] }}{{ messages[5] is defined }}",
]

LINES = cut(TEMPLATES)
FEATURES = [(line, V) for line in LINES] + [(w, V) for w in WHITESPACE] + [(c, CHAT) for c in CHATS]
