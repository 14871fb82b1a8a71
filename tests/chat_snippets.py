"""Small pieces of Jinja, each rendered by python3-jinja2 and by tern. Those that fail are here too."""

VARIABLES = {
    "s": "Hello World", "empty": "", "n": 7, "neg": -3, "f": 2.5, "t": True, "no": False,
    "nothing": None, "l": [3, 1, 2], "words": ["b", "A", "c", "a"], "d": {"b": 1, "a": "x", "items": 9},
    "nested": {"list": [{"k": {"z": 1}}, {"k": {"z": 2}}], "x-y": "dash"},
    "people": [{"name": "Zoe", "age": 30, "ok": True}, {"name": "adam", "age": 4, "ok": False},
               {"name": "Bob", "age": 30}],
    "ja": "日本語テキスト🗻é", "blank": " \t x y \n ", "multi": "one\n  two\n\nthree", "html": "<a href='x'>&\"",
    "mixed": [1, "a", None, True, 2.0, [1, {"k": "v'\""}], "\x00\n\u200b\\"],
}

VALUES = """
{{ s }}|{{ empty }}|{{ n }}|{{ f }}|{{ t }}|{{ nothing }}|{{ missing }}|{{ l }}|{{ d }}|{{ mixed }}
{{ 1 }} {{ 1.0 }} {{ 1e16 }} {{ 1e15 }} {{ 1.5e-5 }} {{ 0.0001 }} {{ 1e300 }} {{ 123456789.125 }} {{ 1_000 }} {{ 007.5 }}
{{ true }} {{ False }} {{ none }} {{ None }} {{ True and 1 }}
{{ 'a' 'b' "c" }}|{{ 'it''s' }}|{{ "\\x41\\u3042\\U0001F5FB\\101\\n\\t\\\\\\'\\"\\q" }}
{{ (1, 2) }}{{ (1,) }}{{ () }}{{ 1, 2 }}{{ [1, [2, (3,)],] }}{{ {'a': 1, 2: 'b', none: [], 1.5: {}, true: 1,} }}
{{ {'a': 1, 'a': 2, 1: 'x', 1.0: 'y', true: 'z'} }}
{{ "'" }} {{ ["'"] }} {{ ['"'] }} {{ ["'\\""] }} {{ ["\\r\\u00ad\\u3000\\ud7ff\\U000e0001"] }}
{{ -0.0 }} {{ 5 // 2 }} {{ -5 // 2 }} {{ 5 % -3 }} {{ -5 % 3 }} {{ 7 / 2 }} {{ 6 / 3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2.0 ** 3 }}
{{ 5.5 // 2 }} {{ -5.5 // 2 }} {{ 5.5 % -2 }} {{ -5.5 % 2 }} {{ 1 + 2.5 }} {{ t + 1 }} {{ 3 * 2 - 1 }} {{ 0.1 + 0.2 }}
{{ -2 ** 2 }} {{ 2 ** 3 ** 2 }} {{ -n|abs }} {{ (-n)|abs }} {{ +n }} {{ - - n }} {{ +t }} {{ -t }}
{{ 'ab' * 3 }} {{ 2 * 'x' }} {{ 'x' * -1 }} {{ [1] * 2 }} {{ (1, 2) + (3,) }} {{ l + [4] }} {{ 'a' + 'b' }}
{{ 1 ~ 'a' ~ none ~ missing ~ 2.0 ~ [1] }} {{ 'a' ~ 1 * 2 }} {{ 'a' + 'b' ~ 2 + 'c' }}
{{ 9223372036854775807 }} {{ -9223372036854775807 - 1 }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ 'Z' < 'a' }} {{ [1, 2] < [1, 3] }} {{ (1,) < (1, 0) }} {{ 1 == true }}
{{ 'é' > 'z' }} {{ '🗻' > '日' }} {{ [1] == [1.0] }} {{ [1] == (1,) }} {{ {'a': 1} == {'a': 1.0} }} {{ none == missing }} {{ missing == other }}
{{ 1 != 2 }} {{ 1 >= 1 }} {{ 2 <= 1 }} {{ 'a' != 1 }} {{ none == none }} {{ none != 0 }} {{ '1' == 1 }}
{{ 9007199254740993 == 9007199254740992.0 }} {{ 9007199254740993 > 9007199254740992.0 }}
{{ 'lo' in s }} {{ 'x' not in s }} {{ 1 in l }} {{ 9 in l }} {{ 'a' in d }} {{ 1 in d }} {{ 'x' in missing }} {{ missing in l }} {{ true in [1] }}
{{ not t }} {{ not not n }} {{ not 1 in l }} {{ t and no or n }} {{ empty or 'd' }} {{ n and s }} {{ nothing or missing or 0 }} {{ no and missing.x }}
{{ 'y' if t else 'n' }} {{ 'y' if no }} {{ 'a' if no else 'b' if no else 'c' }} {{ ('y' if no) is defined }} {{ 1 if t if no else 2 }}
{{ s[0] }} {{ s[-1] }} {{ s[1:3] }} {{ s[::-1] }} {{ s[::2] }} {{ s[-3:] }} {{ s[:-3] }} {{ s[10:2] }} {{ s[5:0:-2] }} {{ s[99:] }}
{{ ja[0] }} {{ ja[-1] }} {{ ja[1:3] }} {{ ja[::-1] }} {{ ja|length }} {{ ja[-2:] }} {{ ja[7] }} {{ ja[:2] ~ ja[3:] }}
{{ l[0] }} {{ l[-1] }} {{ l[1:] }} {{ l[::-1] }} {{ l[:1] }} {{ l[5] }} {{ l[true] }} {{ (1, 2, 3)[1:] }} {{ l[none:none:2] }} {{ l[-9:9] }}
{{ d.b }} {{ d['a'] }} {{ d.missing }} {{ d['items'] }} {{ d.get('b') }} {{ d.get('q') }} {{ d.get('q', 5) }} {{ nested['x-y'] }} {{ nested.list.0.k.z }} {{ nested.list[1]['k'].z }}
{{ l.0 }} {{ l.1 }} {{ s.0 }} {{ l['0'] is defined }} {{ s.foo is defined }} {{ n.foo is defined }} {{ nothing.foo is defined }} {{ l[9] is defined }}
{{ l['x'] }} {{ s['x'] }} {{ n[0] }} {{ nothing['a'] }} {{ d[1] }} {{ l[1.0] }} {{ d[[1]] }}
{{ l.append is defined }} {{ l.append }} {{ d.update is defined }}
""".strip().split("\n")

FILTERS = """
{{ blank|trim }}|{{ 'xxaxx'|trim('x') }}|{{ missing|trim }}|{{ n|trim }}|{{ none|trim }}
{{ s|length }} {{ l|count }} {{ d|length }} {{ missing|length }} {{ 'é🗻'|length }}
{{ l|join }} {{ l|join(', ') }} {{ people|join('-', attribute='name') }} {{ mixed|join('/') }} {{ s|join('.') }} {{ missing|join('x') }} {{ d|join(',') }} {{ l|join(1) }}
{{ s|upper }} {{ s|lower }} {{ 'heLLo wORLD-foo (bar) [baz] <q> {x} o\\'neil été'|title }} {{ 'hELLO wORLD'|capitalize }} {{ none|upper }} {{ missing|lower }} {{ ''|capitalize }}
{{ 'straße ŉ ǆ ﬁ éàü ÇŁ İ'|upper }}|{{ 'ÀÉÎ ЖЯ ＡＢ İ'|lower }}|{{ 'ßx'|capitalize }} {{ 'ǆabc'|capitalize }} {{ 'ﬁn'|title }} {{ 'აბ'|capitalize }} {{ 'ΑΒ'|lower }}
{{ s|replace('l', 'L') }} {{ s|replace('l', '', 1) }} {{ n|replace(7, 8) }} {{ 'aaa'|replace('aa', 'b') }} {{ 'abc'|replace('', '-') }} {{ 'abc'|replace('', '-', 2) }} {{ s|replace('o', none) }}
{{ missing|default('d') }} {{ empty|default('d') }} {{ empty|default('d', true) }} {{ nothing|d('x') }} {{ nothing|d('x', boolean=true) }} {{ missing|default }} {{ missing|default(default_value=3) }} {{ d.q|default(d.b) }}
{{ d|tojson }} {{ mixed|tojson }} {{ ja|tojson }} {{ s|tojson }} {{ 1.0|tojson }} {{ none|tojson }} {{ html|tojson }} {{ (1, 2)|tojson }} {{ {1: 1, none: 2, true: 3, 1.5: 4}|tojson }}
{{ d|tojson(indent=2) }} {{ []|tojson(indent=2) }} {{ {'a': [], 'b': {}, 'c': [1, {'d': 2}]}|tojson(indent=4) }}
{{ d|tojson(indent=0) }} {{ l|tojson(indent='--') }} {{ ja|tojson(ensure_ascii=true) }} {{ ja|tojson(true) }} {{ d|tojson(separators=(',', ':')) }} {{ {'b': 1, 'a': {'d': 1, 'c': 2}}|tojson(sort_keys=true) }}
{{ "\\x7f\\x1f\\b\\f\\u2028/<>&'"|tojson }} {{ "\\x7f\\x1f"|tojson(ensure_ascii=True) }} {{ 1e100|tojson }} {{ [1e400, -1e400]|tojson }}
{{ l|first }} {{ l|last }} {{ s|first }} {{ s|last }} {{ []|first }} {{ []|last }} {{ d|first }} {{ d|last }} {{ missing|first }} {{ ([]|first) is defined }}
{{ s|list }} {{ d|list }} {{ (1, 2)|list }} {{ missing|list }} {{ d.keys()|list }} {{ d.values()|list }} {{ d.items()|list }} {{ range(4)|list }} {{ range(5, 1, -2)|list }} {{ range(2, 4)|list }}
{{ d|items|list }} {{ missing|items|list }} {{ d.items() }} {{ d.keys() }} {{ d.values() }} {{ d.items()|length }}
{{ people|map(attribute='name')|list }} {{ people|map(attribute='ok')|list }} {{ people|map(attribute='ok', default='?')|join(',') }} {{ words|map('upper')|list }} {{ l|map('string')|join('+') }} {{ words|map('replace', 'a', 'X')|list }}
{{ nested.list|map(attribute='k.z')|list }} {{ [[1, 2], [3, 4]]|map(attribute=1)|list }} {{ [[1, 2], [3, 4]]|map(attribute='0')|list }} {{ none|map('upper')|list }} {{ words|map('length')|sum }}
{{ people|selectattr('ok')|map(attribute='name')|list }} {{ people|rejectattr('ok')|map(attribute='name')|list }} {{ people|selectattr('age', 'equalto', 30)|list|length }} {{ people|selectattr('ok', 'defined')|list|length }} {{ people|rejectattr('age', '>', 10)|list }}
{{ l|select('odd')|list }} {{ l|reject('odd')|list }} {{ mixed|select|list }} {{ mixed|select('string')|list }} {{ l|select('in', [1, 2])|list }} {{ mixed|reject('none')|list|length }} {{ l|select('>', 1)|list }} {{ l|select('divisibleby', 3)|list }} {{ words|reject('equalto', 'A')|join }}
{{ l|sort }} {{ l|sort(reverse=true) }} {{ words|sort }} {{ words|sort(case_sensitive=true) }} {{ people|sort(attribute='age')|map(attribute='name')|list }} {{ people|sort(attribute='age,name')|map(attribute='name')|list }} {{ people|sort(true, attribute='name')|map(attribute='name')|list }} {{ d|sort }} {{ 'hello'|sort }}
{{ l|reverse|list }} {{ s|reverse }} {{ ja|reverse }} {{ (1, 2)|reverse|list }} {{ d|reverse|list }} {{ l|map('string')|reverse }}
{{ words|unique|list }} {{ words|unique(true)|list }} {{ [1, 1.0, true, 'a']|unique|list }} {{ people|unique(attribute='age')|map(attribute='name')|list }}
{{ 1|string + 'x' }} {{ l|string|length }} {{ '12'|int + 1 }} {{ ' -4_2 '|int }} {{ '3.9'|int }} {{ 3.9|int }} {{ -3.9|int }} {{ 'x'|int }} {{ 'x'|int(5) }} {{ none|int }} {{ true|int }} {{ 'x'|int(default=none) }} {{ ''|int }} {{ '1e3'|int }}
{{ '1.5'|float }} {{ 'x'|float }} {{ 3|float }} {{ none|float(1.5) }} {{ '1e3'|float }} {{ 'nan'|float }} {{ '-Infinity'|float }} {{ '.5'|float }} {{ '5.'|float }} {{ '1_0.5'|float }} {{ '1__0'|float }} {{ ' 2 '|float }}
{{ -5|abs }} {{ neg|abs }} {{ (-2.5)|abs }} {{ true|abs }} {{ 42.55|round }} {{ 42.55|round(1) }} {{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 42|round }} {{ 42.12|round(1, 'ceil') }} {{ 42.19|round(1, 'floor') }} {{ -1.5|round(method='floor') }} {{ 0.5|round|int }}
{{ multi|indent }}|{{ multi|indent(2) }}|{{ multi|indent(2, true) }}|{{ multi|indent(2, blank=true) }}|{{ multi|indent('> ', first=true) }}|{{ ''|indent }}|{{ 'a\\n'|indent(1) }}|{{ 'x\\u2028y\\r\\nz'|indent(1) }}
{{ html|e }} {{ html|escape }} {{ html|safe }} {{ (html|safe)|e }} {{ html|e|e }} {{ ('<'|safe) + '<' }} {{ '<' + ('<'|safe) }} {{ ('<'|safe) ~ '<' }} {{ none|e }} {{ 1|e }} {{ ('<b>'|safe)|upper + '<' }} {{ ('<'|e) * 2 + '<' }} {{ [('<'|safe)] }}
{{ d|dictsort }} {{ {'B': 2, 'a': 3, 'C': 1}|dictsort }} {{ {'B': 2, 'a': 3}|dictsort(true) }} {{ {'B': 2, 'a': 1}|dictsort(by='value') }} {{ {'B': 2, 'a': 3}|dictsort(reverse=true) }}
{{ l|sum }} {{ people|sum(attribute='age') }} {{ []|sum }} {{ [1.5, 2]|sum(start=10) }} {{ [[1], [2]]|sum(start=[]) }} {{ l|min }} {{ l|max }} {{ words|min }} {{ words|max(true) }} {{ people|max(attribute='age') }} {{ []|min }} {{ people|min(attribute='name') }}
{{ s|trim|upper|replace('L', 'l')|length }} {{ (s ~ n)|lower }} {{ s ~ n|string|length }} {{ not s|length }} {{ n|string is string }}
{% set g = l|map('string') %}{{ g|list }}{{ g|list }}
{% set g = l|select('odd') %}{{ g|first }}-{{ g|join(',') }}{{ 'x' if g }}
""".strip().split("\n")

TESTS_AND_METHODS = """
{{ s is defined }} {{ q is defined }} {{ q is undefined }} {{ none is none }} {{ q is none }} {{ none is defined }} {{ d.q is undefined }}
{{ s is string }} {{ n is string }} {{ d is mapping }} {{ l is mapping }} {{ l is iterable }} {{ s is iterable }} {{ n is iterable }} {{ q is iterable }} {{ none is iterable }} {{ d is iterable }}
{{ l is sequence }} {{ s is sequence }} {{ d is sequence }} {{ n is sequence }} {{ q is sequence }} {{ (1,) is sequence }} {{ range(3) is sequence }} {{ d.items() is sequence }} {{ d.items() is iterable }}
{{ n is number }} {{ f is number }} {{ t is number }} {{ s is number }} {{ t is boolean }} {{ n is boolean }} {{ t is true }} {{ 1 is true }} {{ no is false }} {{ 0 is false }} {{ n is integer }} {{ t is integer }} {{ f is float }} {{ n is float }}
{{ 3 is odd }} {{ 4 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 2.0 is even }} {{ -1 is odd }}
{{ 1 is eq 1 }} {{ 1 is equalto(1) }} {{ 1 is ne 1 }} {{ 1 is lt 2 }} {{ 3 is gt 2 }} {{ 3 is ge 3 }} {{ 3 is le 2 }} {{ 'a' is in 'abc' }} {{ 1 is in [1, 2] }} {{ 1 is not in [1, 2] }} {{ none is sameas none }} {{ true is sameas(1) }}
{{ s is not string }} {{ not s is string }} {{ s is string and n is number }} {{ s is string or q }} {{ (s is string) == true }} {{ s|length is odd }} {{ n + 1 is even }} {{ namespace is callable }} {{ s is callable }}
{{ s.upper() }} {{ s.lower() }} {{ s.title() }} {{ 'hELLO'.capitalize() }} {{ "they're bill's"|title }} {{ "they're bill's 2nd".title() }}
{{ blank.strip() }}|{{ blank.lstrip() }}|{{ blank.rstrip() }}|{{ 'xyaxy'.strip('xy') }}|{{ 'xyaxy'.lstrip('x') }}|{{ 'xyaxy'.rstrip('yx') }}|{{ ' a '.strip(none) }}|{{ 'ééaé'.strip('é') }}|{{ '\\u3000a\\x1f'.strip() }}|{{ 'a'.strip('') }}
{{ s.split() }} {{ s.split('o') }} {{ s.split('o', 1) }} {{ s.split('zz') }} {{ ''.split() }} {{ ''.split('x') }} {{ ' a  b '.split() }} {{ ' a  b c '.split(none, 1) }} {{ 'a,b,'.split(',') }} {{ s.split('o', maxsplit=1)[-1] }} {{ s.split(sep='l') }} {{ 'a b'.split(' ', 0) }}
{{ s.rsplit('o', 1) }} {{ ' a  b c '.rsplit(none, 1) }} {{ 'a.b.c'.rsplit('.') }} {{ 'aXXXb'.split('XX') }} {{ 'aXXXb'.rsplit('XX') }} {{ 'x'.rsplit() }}
{{ s.startswith('Hell') }} {{ s.endswith('x') }} {{ s.startswith(('a', 'H')) }} {{ s.endswith(()) }} {{ s.startswith('World', 6) }} {{ s.startswith('') }} {{ s.endswith('Wor', 0, 9) }} {{ s.startswith('', 99) }} {{ ja.endswith('é') }} {{ s.startswith('H', -11) }}
{{ s.replace('l', 'L') }} {{ s.replace('l', 'L', 2) }} {{ 'abc'.replace('', '.') }} {{ 'abc'.replace('b', '') }} {{ s.replace('o', '0').replace('l', '1') }}
{{ ', '.join(words) }} {{ '-'.join('abc') }} {{ ''.join([]) }} {{ ','.join(d) }} {{ '日'.join(['a', 'b']) }}
{{ s.find('o') }} {{ s.find('z') }} {{ s.rfind('o') }} {{ s.find('o', 5) }} {{ s.index('W') }} {{ ja.find('語') }} {{ ja.find('é') }} {{ s.count('l') }} {{ 'aaaa'.count('aa') }} {{ 'abc'.count('') }} {{ s.find('o', 0, 4) }} {{ s.find('') }} {{ s.count('o', 5) }}
{{ multi.splitlines() }} {{ multi.splitlines(true) }} {{ ''.splitlines() }} {{ 'a\\r\\nb\\rc\\x0bd\\u2028e\\n'.splitlines() }} {{ '\\n'.splitlines() }}
{{ '12'.isdigit() }} {{ ''.isdigit() }} {{ 'ab'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' \\t'.isspace() }} {{ ''.isspace() }} {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('bc') }}
{{ d.keys()|list }} {{ d.values()|list }} {{ d.items()|list }} {{ 'b' in d.keys() }} {{ 1 in d.values() }} {{ ('b', 1) in d.items() }} {{ d.copy() == d }} {{ l.index(2) }} {{ l.count(1) }} {{ (1, 1).count(1) }} {{ l.copy() }}
{{ dict(a=1, b=2) }} {{ dict({'z': 0}, a=1) }} {{ dict() }} {{ range(3)|list }} {{ range(0)|list }} {{ range(3)[1] }} {{ range(10)|length }} {{ 3 in range(5) }}
{{ strftime_now('%d %b %Y') }} {{ strftime_now('%Y-%m-%d %H:%M:%S %A %B %j %%') }} {{ strftime_now('') }} {{ strftime_now('日本 %p') }} {{ strftime_now('%-d') }} {{ strftime_now is defined }}
""".strip().split("\n")

STATEMENTS = [
    "{{ 'a\\\nb' }}",
    "{% if t %}a{% elif n %}b{% else %}c{% endif %}{% if no %}a{% elif n %}b{% else %}c{% endif %}{% if no %}a{% elif nothing %}b{% else %}c{% endif %}",
    "{% if missing %}x{% endif %}{% if not missing %}y{% endif %}{% if l %}l{% endif %}{% if [] %}e{% endif %}{% if '' %}e{% endif %}{% if 0.0 %}z{% endif %}",
    "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ x }};{% endfor %}",
    "{% for x in [] %}x{% else %}none{% endfor %}{% for x in missing %}x{% else %}none{% endfor %}{% for x in l %}{{ x }}{% else %}none{% endfor %}",
    "{% for x in l if x > 1 %}{{ loop.index }}:{{ x }}{{ ',' if not loop.last }}{% else %}none{% endfor %}{% for x in l if x > 9 %}{{ x }}{% else %}none{% endfor %}",
    "{% for x in l if x != 1 %}{{ loop.length }}{{ loop.revindex }}{{ loop.last }}{{ x }} {% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for k, v in d|dictsort %}{{ k }}{% endfor %}{% for k, v in d|items %}{{ loop.last }}{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3)), [4, 'xy']] %}{{ a }}{{ b }}{{ c }};{% endfor %}{% for (a, b) in [(1, 2)] %}{{ a }}{{ b }}{% endfor %}",
    "{% for a, in [(1,)] %}{{ a }}{% endfor %}", "{{ 1 + 2 ~ 3 + 4 }}",
    "{% for c in ja %}{{ c }}.{% endfor %}{% for x in (1, 2) %}{{ x }}{% endfor %}{% for x in range(3) %}{{ x }}{% endfor %}{% for x in 1, 2, 3 %}{{ x }}{% endfor %}",
    "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {{ loop.previtem is defined }}{{ loop.nextitem is defined }};{% endfor %}",
    "{% for x in l %}{% for y in l %}{{ loop.index }}{% endfor %}{{ loop.index }}|{% endfor %}{{ loop is defined }}",
    "{% for x in l %}{% set outer = loop %}{% for y in 'ab' %}{{ outer.index }}{{ y }}{% endfor %}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% else %}no{% endfor %}",
    "{% for x in l %}{% for y in l %}{% if y == 1 %}{% break %}{% endif %}{{ y }}{% endfor %}{{ x }}{% endfor %}",
    "{% for x in l %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x > 1) }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "{% for x in [{'v': 1, 'c': [{'v': 2, 'c': [{'v': 3}]}, {'v': 4}]}] recursive %}({{ loop.depth }}{{ x.v }}{% if x.c %}{{ loop(x.c) }}{% endif %}){% endfor %}",
    "{% set x = 1 %}{% for y in l %}{{ x }}{% set x = x + y %}{{ x }} {% endfor %}{{ x }}",
    "{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}{% if no %}{% set z = 2 %}{% endif %}{{ z is defined }}",
    "{% set ns = namespace(x=1, y='a') %}{% for y in l %}{% set ns.x = ns.x + y %}{% endfor %}{{ ns.x }}{{ ns.y }}{{ ns.z is defined }}{{ ns['x'] }}{% set ns.z = [] %}{{ ns.z }}",
    "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{% set ns2 = ns %}{% set ns2.a = 5 %}{{ ns.a }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, d) = 'xy' %}{{ c }}{{ d }}{% set e = 1, 2 %}{{ e }}",
    "{% set x %}a{{ n }}\n b{% endset %}[{{ x }}]{% set x | upper | trim %} abc {% endset %}[{{ x }}]{% set y %}{% set q = 1 %}{% endset %}{{ q is defined }}",
    "{% with %}{% set x = 5 %}{{ x }}{% endwith %}{{ x is defined }}{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{% set a = 7 %}{% with a = 1, b = a %}{{ b }}{% endwith %}",
    "{% filter upper %}abc{{ s }}{% endfilter %}{% filter replace('a', 'b') | indent(2) %}aa\naa{% endfilter %}",
    "{% macro m(a, b=2, c=none) %}{{ a }}-{{ b }}-{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, c=3) }} {{ m(b=5, a=4) }} {{ m() }}",
    "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m('x') }}{{ m('x', 'y') }}{{ m('x')|upper }}{{ m('a') ~ m('b') }}{{ m is defined }}{{ m is callable }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, z=3) }}{{ m() }}",
    "{% macro m(x) %}[{{ caller(x) }}]{% endmacro %}{% call(y) m(3) %}<{{ y }}{{ n }}>{% endcall %}{% call(y, z=9) m(3) %}{{ y }}{{ z }}{% endcall %}",
    "{% macro m() %}{{ caller is defined }}{{ caller() if caller }}{% endmacro %}{{ m() }}{% call m() %}body{% endcall %}",
    "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}",
    "{% set v = 1 %}{% macro m() %}{{ v }}{% set v2 = 3 %}{% endmacro %}{{ m() }}{% set v = 2 %}{{ m() }}{{ v2 is defined }}",
    "{% macro m() %}{{ late }}{{ n }}{{ loop is defined }}{% endmacro %}{% set late = 'L' %}{% for x in [1] %}{{ m() }}{% endfor %}",
    "{% for x in l %}{% macro m(a) %}{{ a }}{{ x }}{% endmacro %}{{ m('q') }}{% endfor %}{{ m is defined }}",
    "{% set ns = namespace() %}{% for x in l %}{% macro m() %}in{% endmacro %}{% set ns.m = m %}{% endfor %}{{ ns.m() }}",
    "{% set ns = namespace() %}{% set ns.self = ns %}{{ ns.self.self is defined }}{% for x in l %}{% set ns.loop = loop %}{% endfor %}{{ ns.loop.index }}",
    "{% set ns = namespace(stop=false) %}{% for x in l if not ns.stop %}{{ x }}{% if x == 1 %}{% set ns.stop = true %}{% endif %}{% endfor %}",
    "{% set ns = namespace(stop=false) %}{% for x in l if not ns.stop %}{{ x }}{{ loop.last }}{% if x == 1 %}{% set ns.stop = true %}{% endif %}{% endfor %}",
    "{% generation %}a{{ n }}{% set w = 1 %}{% endgeneration %}{{ w is defined }}{% for x in l %}{% generation %}{{ x }}{{ loop.index }}{% endgeneration %}{% endfor %}",
    "{# c #}a{# {{ x }} {% if %} #}b{#- c -#} d{#+ e +#}\nf",
    "{% raw %}{{ x }}{% if %}{# #}{% endraw %}|{%- raw -%} {{ a }} {%- endraw -%} |",
    "a\n  {% raw %}\n x {{ y }}\n  {% endraw %}\nb",
    "a\n{% if t %}\nb\n{% endif %}\nc\n",
    "a\n  {% if t %}\n  b\n  {% endif %}\n  c\n\n",
    "a\n  {%- if t %}\n  b\n  {%- endif %}\n  c",
    "a\n  {%+ if t %}\n  b\n  {%+ endif +%}\n  c",
    "a  {% if t +%}\n  b  {% endif -%}\n\n  c {{- n -}} \n d  {{ n }}  \n",
    "  {{ n }}\n  {{- n }}\n{{ n }}\n",
    "x {# c #}\n  {# c #}\n  {#- c #}\n  {# c -#}\n y",
    "\n\n{% set a = 1 %}\n\n{{ a }}\n\n",
    "{% if t %}{% endif %}\r\nx\r\ny\rz\r\n",
    "\t{% if t %}\u3000{% endif %}\v{# c #}",
    "  {% if t %} {% if t %}  \n {% endif %}\n {% endif %}",
    "{{ {'a': {'b': 1}} }}{{ {'a': {'b': {}}}}}{{ [{}]}}{{ {}}}",
    "{{ '}}' }}{{ '%}' }}{% set x = '%}' %}{{ x }}{{ \"{{\" }}",
    "{{ a.b.c if a is defined else 'no' }}{{ (a|default({})).b }}{{ (a|default({})).b is defined }}",
    "{% if t and (n > 3 or no) and not (s == 'x') %}ok{% endif %}{% if 'a' in d and d['a'] == 'x' %}ok{% endif %}{% if d.q is defined and d.q.r %}x{% else %}ok{% endif %}",
    "{{ s.split(' ')[0].lower() }}{{ s.split(' ')|map('upper')|join('_') }}{{ (s|list)[:2] }}{{ s[0:5].upper()[1] }}",
    "{% if x is not defined %}{% set x = 'new' %}{% endif %}{{ x }}{% set n = n + 1 %}{{ n }}",
    "{% for m in people %}{{ m['name'] + ': ' + m['age']|string + '\\n' }}{% endfor %}",
    "{% for m in people[1:] %}{{ loop.index0 }}{{ m.name }}{% endfor %}{% for m in people[::-1] %}{{ m.name[0] }}{% endfor %}{{ people[-1].name }}{{ people[-1]['ok'] is defined }}",
    "{{ people|map(attribute='name')|map('lower')|sort|join(' ') }}{{ (people|selectattr('ok', 'defined')|selectattr('ok')|first).name }}",
    "{% set ns = namespace(found=[]) %}{% for p in people %}{% set ns.found = ns.found + [p.name] %}{% endfor %}{{ ns.found }}",
    "{% set m = {'a': 'b'} %}{{ m[('a')] }}{{ m.a }}{{ {'user': 'U'}['user'] }}{{ ['x', 'y'][1] }}{{ 'abc'[1] }}",
    "{{ 'line' if s\n is string\n else 'x' }}{% set\n q =\n 1 %}{{ q }}",
    "{% if s == 'Hello World': %}colon{% endif %}{% for x in l: %}{{ x }}{% endfor %}",
    "{% set x = missing %}{{ x is defined }}{% set d2 = d %}{{ d2 == d }}{% set e %}{% endset %}{{ e == '' }}",
    "{{ raise_exception is defined }}{{ strftime_now is defined }}",
    "", "\n", "\n\n", "a\n", " ", "{", "{{ '{' }}{", "}}", "%}", "{ {", "#}",
]

ERRORS = """
{{ raise_exception('The roles must alternate') }}
a{% if n > 3 %}{{ raise_exception('n is ' ~ n) }}{% endif %}b
{{ raise_exception('') }}
{{ missing.x }}
{{ missing['x'] }}
{{ d.q.r }}
{{ missing + 1 }}
{{ 'a' + missing }}
{{ missing() }}
{{ missing < 1 }}
{{ -missing }}
{{ missing[1:] }}
{{ missing|tojson }}
{{ missing|int }}
{{ missing|abs }}
{{ 'a' + 1 }}
{{ 1 + 'a' }}
{{ 'a' - 'b' }}
{{ none + 'a' }}
{{ [1] + (2,) }}
{{ {} + {} }}
{{ 'a' * 'b' }}
{{ 'a' < 1 }}
{{ none < none }}
{{ [1, 'a']|sort }}
{{ 1 / 0 }}
{{ 1 // 0 }}
{{ 1 % 0 }}
{{ 1.0 / 0 }}
{{ 1 in 5 }}
{{ 1 in 'a' }}
{{ 1 in none }}
{{ [1] in {} }}
{{ n() }}
{{ s() }}
{{ s.upper.x() }}
{{ l.append(1) }}
{{ d.update({}) }}
{{ d.pop('a') }}
{% set x = l.append(1) %}
{{ n|length }}
{{ none|length }}
{{ n|join }}
{{ n|list }}
{{ none|first }}
{{ l|map('upper')|length }}
{{ (l|map('string'))[0] is defined }}{{ l|map('string')|last }}
{{ l|join(', ', 'a', 'b') }}
{{ s|trim('a', 'b') }}
{{ s|upper(1) }}
{{ s|replace('a') }}
{{ l|map|list }}
{{ l|selectattr|list }}
{{ n|items }}{{ n|items|list }}
{{ l|dictsort }}
{{ d|dictsort(by='x') }}
{{ 'a'|round }}
{{ 1.5|round(1, 'x') }}
{{ none|indent }}
{{ ['a']|sum }}
{{ l|tojson(bad=1) }}
{{ range(1000000) }}
{{ range() }}
{{ range('a') }}
{{ range(1, 2, 0) }}
{{ s.split('') }}
{{ s.index('zz') }}
{{ s.startswith(1) }}
{{ s.startswith(['a']) }}
{{ ','.join([1]) }}
{{ s.upper(1) }}
{{ s.strip(1) }}
{{ l.index(99) }}
{{ s['a':] }}
{{ s[::0] }}
{{ d[1:] }}
{{ n[1:] }}
{{ nothing[1:] }}
{{ 3 is divisibleby(0) }}
{{ 'a' is odd }}
{{ 3 is divisibleby }}
{% for x in n %}{% endfor %}
{% for x in none %}{% endfor %}
{% for a, b in [1] %}{% endfor %}
{% for a, b in [(1, 2, 3)] %}{% endfor %}
{% set a, b = 1 %}
{% set x.y = 1 %}
{% set d.y = 1 %}
{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{% endmacro %}{{ m(b=2) }}
{% macro m(a) %}{% endmacro %}{% call m(1) %}{% endcall %}
{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}
{% macro m(a) %}{{ a.b }}{% endmacro %}{{ m() }}
{% for x in l %}{{ loop(l) }}{% endfor %}
{% for x in l %}{{ loop.cycle() }}{% endfor %}
{{ m() }}{% macro m() %}{% endmacro %}
{% if %}{% endif %}
{% if t %}
{% endif %}
{% if t %}{% endfor %}
{% for x in l %}
{% for %}{% endfor %}
{% for x %}{% endfor %}
{% for 1 in l %}{% endfor %}
{% for loop in l %}{% endfor %}
{% else %}
{% elif t %}
{% unknown %}
{% set %}
{% set x = %}
{% set 1 = 2 %}
{% set true = 2 %}
{% set x %}
{% macro %}{% endmacro %}
{% macro m(a=1, b) %}{% endmacro %}
{% macro m(1) %}{% endmacro %}
{% call 1 %}{% endcall %}
{% break %}
{% continue %}
{% for x in l %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}
{{ }}
{{ 1 2 }}
{{ a b }}
{{ (1 }}
{{ 1) }}
{{ [1 }}
{{ {1: } }}
{{ {1} }}
{{ 'a }}
{{ a. }}
{{ a.'b' }}
{{ a[ }}
{{ a[] }}
{{ 1 + }}
{{ * 1 }}
{{ a | }}
{{ a | 1 }}
{{ s|nofilter }}
{{ s is notest }}
{{ s is string is string }}
{{ m(a=1, 2) }}
{{ m(a=1, a=2) }}
{{ a ? b }}
{{ a $ b }}
{{ ! }}
{{ "\\x1" }}
{{ "\\ud8" }}
{{ "\\U00110000" }}
{# never ends
{% raw %} never ends
{{ n
{% if n
{{ n %}
{% if n }}
{{ n } }}
""".strip().split("\n")

SNIPPETS = VALUES + FILTERS + TESTS_AND_METHODS + STATEMENTS + ERRORS
