"""Renders many small templates as transformers renders chat templates: test/fixtures/jinja.json.

    /path/to/python test/scripts/make_jinja.py

Needs transformers and jinja2. Each case is [template, text], or [template, null] where Python's
Jinja fails.
"""

import copy
import json
import os
import time
from itertools import product
from pathlib import Path

os.environ["TZ"] = "UTC"
time.tzset()

from transformers.utils.chat_template_utils import _compile_jinja_template

CONTEXT = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "  Hi <b>'you'</b>\n\n  there\t"},
        {"role": "assistant", "content": "x\\y \"z\"", "tool_calls": [
            {"function": {"name": "f", "arguments": {"a": 1, "b": [True, None, 2.5]}}}]},
        {"role": "user", "content": [{"type": "text", "text": "émoji 😀 ß"}, {"type": "image"}]},
    ],
    "n": 7, "neg": -7, "big": 12345678901234567890, "f": 2.5, "tiny": 1e-7, "huge": 1e20, "one": 1.0,
    "s": "Hello, World", "empty": "", "uni": "aé😀ß漢", "ws": " \t\n x \u00a0\u2003",
    "multi": "one\n  two\r\nthree\n\nfive", "l": [3, 1, 2], "names": ["bob", "Al", "cy", "al"],
    "d": {"b": 1, "a": "x", "C": None, "items": [1, 2]}, "nested": {"k": {"k": [1, {"z": "deep"}]}},
    "users": [{"n": "a", "age": 3, "ok": True}, {"n": "B", "age": 1}, {"n": "c", "age": 3, "ok": False}],
    "t": True, "no": False, "none_": None, "html": "<a href='x'>&amp; \"q\"</a>", "num": "42", "numf": " 4.20 ",
}

VALUES = ["none", "true", "n", "neg", "f", "one", "huge", "tiny", "big", "s", "empty", "uni", "l", "[]", "d", "{}",
          "(1, 2)", "(1,)", "missing", "num", "names", "range(3)", "1e16", "0.1", "123456789.0", "1e15", "-0.0"]
PAIRS = ["none", "true", "3", "-2", "2.5", "0", "'ab'", "''", "[1]", "(1,)", "{'a': 1}", "missing", "1.0", "s|safe"]
BINARY = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
FILTERS = [
    "abs", "capitalize", "center(9)", "count", "default('D')", "default('D', true)", "d", "dictsort", "escape", "e",
    "filesizeformat", "first", "float", "forceescape", "indent", "indent(2, true)", "int", "int(5)", "items|list", "join",
    "join('-')", "last", "length", "list", "lower", "max", "min", "reverse|list", "round", "round(1)", "safe", "slice(2)|list",
    "batch(2)|list", "batch(2, 'x')|list", "sort", "sort(reverse=true)", "string", "striptags", "sum", "title", "tojson",
    "tojson(indent=2)", "trim", "trim('H')", "truncate(5)", "truncate(5, true, '')", "unique|list", "upper", "urlencode",
    "wordcount", "xmlattr", "replace('l', 'L')", "map('string')|list", "select|list", "reject|list", "map('upper')|join",
    "select('string')|list", "reject('number')|list", "format(1)", "attr('real')", "selectattr('a')|list",
]
TESTS = [
    "defined", "undefined", "none", "boolean", "true", "false", "integer", "float", "number", "string", "mapping",
    "sequence", "iterable", "callable", "escaped", "lower", "upper", "odd", "even", "divisibleby 7", "divisibleby(2)",
    "sameas none", "sameas true", "in [7, 's']", "eq 7", "equalto(7)", "ne 7", "gt 3", "lt 3", "ge 7", "le 7", "not none",
    "not defined",
]
METHODS = [
    "upper()", "lower()", "title()", "capitalize()", "swapcase()", "casefold()", "strip()", "lstrip()", "rstrip()",
    "strip('Hd ')", "lstrip('\\n')", "rstrip('\\n\\t ')", "split()", "split(',')", "split(None, 1)", "split(' ', 1)",
    "rsplit(None, 1)", "rsplit('l', 1)", "split('l', maxsplit=0)", "splitlines()", "splitlines(true)", "replace('o', '0')",
    "replace('l', '', 1)", "replace('', '-')", "replace('', '-', 2)", "startswith('He')", "startswith(('x', 'H'))",
    "startswith('l', 2)", "endswith('d')", "endswith('l', 0, 4)", "find('o')", "find('o', 5)", "rfind('o')", "find('zz')",
    "index('l')", "rindex('l')", "index('zz')", "count('l')", "count('')", "count('l', 3)", "center(20, '*')", "ljust(15)",
    "rjust(15, '.')", "zfill(15)", "expandtabs(4)", "partition(',')", "rpartition('l')", "partition('zz')",
    "rpartition('zz')", "removeprefix('He')", "removesuffix('ld')", "join(['a', 'b'])", "isdigit()", "isalpha()", "isalnum()",
    "isspace()", "isupper()", "islower()", "istitle()", "isnumeric()", "isdecimal()", "isascii()", "isidentifier()",
    "isprintable()", "format(1)", "nothing", "nothing()", "encode", "__class__", "__class__.__name__", "_private",
]
SLICES = ["[1:]", "[:-1]", "[::-1]", "[::2]", "[-2:]", "[5:2]", "[5:2:-1]", "[0]", "[-1]", "[99]", "['a']", "[1:99]", "[:0]",
          "[none:2]", "[::-2]", "[true]", "[1.0]"]
PRINTF = ["%s|%r' % (s, s)", "%d %i' % (n, neg)", "%5d|%-5d|%05d' % (n, n, neg)", "%+d % d' % (n, n)", "%x %X %o %#x' % (255, 255, 8, 255)",
          "%f %.2f %10.3f' % (f, f, f)", "%e %.2e %E' % (f, huge, tiny)", "%g %G %.3g' % (huge, tiny, 1234.5)", "%%' % ()",
          "%(a)s-%(b)d' % {'a': 'x', 'b': 3}", "%c%c' % (65, 'B')", "%5s|%-5s|%.2s' % ('ab', 'ab', 'abc')", "%s' % none",
          "%s %s' % ('a',)", "%s' % ('a', 'b')", "%d' % 'x'", "%d' % 2.9", "%*d' % (5, 3)", "%s' % [1, 'a']", "%q' % 1", "%.0f %.0f' % (0.5, 1.5)",
          "%r' % uni", "%08.3f' % neg"]
FORMAT = ["{} {}'.format(1, 'a')", "{1} {0}'.format(1, 'a')", "{a} {b[0]}'.format(a=1, b=[2])", "{:>5}|{:<5}|{:^5}|'.format('a', 'b', 'c')",
          "{:*^7}'.format('ab')", "{:05d} {:+d} {:x} {:#X} {:b}'.format(42, 42, 255, 255, 5)", "{:,} {:_}'.format(1234567, 1234567)",
          "{:.2f} {:8.3f} {:e} {:g} {:%}'.format(f, f, f, f, f)", "{!r} {!s}'.format('a', 'b')", "{{}} {}'.format(1)", "{:{}}|'.format('a', 5)",
          "{0.__class__}'.format(1)", "{}'.format()", "{x}'.format()", "{:d}'.format('a')", "{:.3}'.format('abcdef')", "{:.3}'.format(f)",
          "{:,.2f}'.format(1234567.891)", "{:<6}|'.format(n)", "{:=+6}'.format(n)", "{} {0}'.format(1)", "{:s}'.format(1)", "{:}'.format(l)",
          "{:5}'.format(true)", "{:.1f}'.format(0.25)", "{:10}|'.format(f)", "{:#o}'.format(8)", "{:n}'.format(3)", "{:.4g}'.format(12345.678)", "{:g}'.format(huge)"]
EXPRESSIONS = [
    "-7 // 2", "-7 % 3", "7 // -2", "7 % -3", "7.5 // 2", "-7.5 % 2", "2 ** 10", "2 ** -1", "2 ** 0.5", "1 / 2", "4 / 2", "2 ** 70",
    "big + 1", "big // 7", "big % 1000", "-big", "+true", "-true", "true + true", "1 < 2 < 3", "1 < 3 < 2", "1 == 1.0 == true",
    "'' != false", "'a' < 'B'", "[1, 2] < [1, 3]", "(1, 2) < (1,)", "none == none", "missing == missing2", "missing == none", "1 in d",
    "'b' in d", "'ell' in s", "'' in ''", "1 in 'a'", "none in [none]", "1 in missing", "'x' in none", "not missing", "missing.a",
    "missing['a']", "d.missing", "d.missing.x", "d.items", "d['items']", "d.items()|list", "d.keys()", "d.values()", "d.items()", "d.get('b')",
    "d.get('q')", "d.get('q', 5)", "d.get('C', 5)", "d.pop('b')", "l.append(4)", "l.index(1)", "l.count(3)", "l.index(9)", "d.b", "d['b']", "d.C", "l.0",
    "l[0]", "l['0']", "l[9]", "l.x", "none.x", "n.x", "s.x", "s[0].x", "nested.k.k[1].z", "nested['k']['k'][1]['z']", "{'a': 1}['a']", "{1: 'x', 1.0: 'y', true: 'z'}",
    "{1: 'a'}[1]", "{'1': 'a'}[1]", "{(1, 2): 3}", "{[1]: 2}", "(1, 'a', none, 2.0)", "()", "(1)", "[1, [2, (3,)], {'a': {'b': 'c'}}]", "['it\\'s', \"q\\\"\", 'both\\'\"']",
    "['\\n\\t\\\\', 'é😀', '\\u200b\\xad']", "'\\x41\\u00e9\\101\\q\\'\\\"'", "'a' 'b' \"c\"", "1_000", "0x1F", "0b101", "0o17", "1e3", "1.5e-3", "1e400", "-1e400", "1e22", "1.0e5",
    "n if t", "n if no", "n if no else 'E'", "(n if no) is defined", "1 if t else 2 if no else 3", "t and 'x'", "no or 'y'", "'' or none", "not t or t", "s ~ n ~ none ~ missing ~ f ~ l",
    "s ~ (html|safe)", "(html|safe) + '<b>'", "'<b>' + (html|safe)", "(html|safe).replace('x', '<')", "(html|safe)|upper", "html|e|e", "html|e|string", "(html|e)|length", "(html|safe) * 2",
    "(html|safe) ~ '<'", "['<', html|safe]|join(',')", "('%s'|safe) % '<'", "'%s' % (html|safe)", "html|escape|replace('&', 'and')", "[html|safe]", "html|striptags",
    "messages|length", "messages[0]", "messages[-1].content[0].text", "messages|map(attribute='role')|list", "messages|map(attribute='tool_calls')|list",
    "messages|map(attribute='zz', default='D')|join(',')", "messages|selectattr('role', 'equalto', 'user')|list|length", "messages|rejectattr('role', 'in', ['user', 'system'])|map(attribute='role')|list",
    "messages|selectattr('tool_calls')|list|length", "messages|selectattr('tool_calls', 'defined')|map(attribute='content')|first", "messages[2].tool_calls[0].function.arguments|tojson",
    "messages[2].tool_calls|tojson(indent=4)", "messages[2]|tojson", "d|tojson(sort_keys=true)", "d|tojson(separators=(',', ':'))", "uni|tojson(ensure_ascii=true)", "uni|tojson", "'\\u2028<>&\\'\\x7f\\x01'|tojson",
    "missing|tojson", "[missing]|tojson", "{1: 2, none: 3, true: 4, 2.5: 5}|tojson", "{(1,): 2}|tojson", "(1, 2)|tojson", "[]|tojson(indent=2)", "{}|tojson(indent=2)", "[[], {}, [1]]|tojson(indent=1)", "range(3)|tojson", "huge|tojson", "tiny|tojson",
    "users|sort(attribute='age')|map(attribute='n')|list", "users|sort(attribute='age,n')|map(attribute='n')|list", "users|sort(attribute='age', reverse=true)|map(attribute='n')|list",
    "names|sort", "names|sort(case_sensitive=true)", "names|unique|list", "names|unique(true)|list", "names|min", "names|max", "[]|min", "[]|max is undefined", "[1, 'a']|sort", "users|map(attribute='n')|max",
    "users|groupby('age')", "users|groupby('ok', default=false)|map(attribute='grouper')|list", "(users|groupby('age'))[0].list|length", "users|sum(attribute='age')", "[1, 2.5]|sum", "[[1], [2]]|sum(start=[])", "['a']|sum",
    "d|dictsort", "d|dictsort(true)", "{'a': 2, 'b': 1}|dictsort(by='value')", "d|dictsort(reverse=true)", "l|first", "[]|first", "missing|first", "missing|last", "l|last", "'abc'|last", "{}|last", "d|first", "'abc'|reverse", "l|reverse|list", "d|reverse|list",
    "l|join(', ', attribute='real')", "users|join('|', attribute='n')", "missing|join", "none|join", "l|map('string')|join", "l|map('default', 1)|list", "l|map('nofilter')|list", "l|map", "l|map('string')|length", "l|select('gt', 1)|list",
    "l|reject('odd')|list", "[0, '', none, 1]|select|list", "l|select('nosuch')|list", "users|selectattr('age', '>', 1)|map(attribute='n')|list", "users|selectattr('ok', 'true')|list|length", "users|map('attr', 'n')|list", "users|map('items')|map('list')|list",
    "num|int", "numf|int", "numf|float", "'x'|int", "'x'|int(3)", "'0x1f'|int(base=16)", "'1f'|int(0, 16)", "'0b11'|int(0, 2)", "'1_000'|int", "none|int", "missing|int", "'1e3'|int", "'inf'|float", "'nan'|float", "f|int", "neg|abs", "'a'|abs",
    "2.5|round", "3.5|round", "2.675|round(2)", "1234.5678|round(-2)", "1250|round(-2)", "2.1|round(0, 'ceil')", "2.9|round(method='floor')", "2.567|round(2, 'floor')", "42.55|round(1)", "0.1 + 0.2", "1/3", "100000000000000000.0", "123456789012345680.0", "5e-324",
    "1000|filesizeformat", "1500000|filesizeformat", "1024|filesizeformat(true)", "1|filesizeformat", "'a b/c?é'|urlencode", "{'a b': 'c&d'}|urlencode", "{'a': '<', 'b': none}|xmlattr", "s|wordcount", "'foo bar baz qux'|truncate(9)", "'foo bar baz qux'|truncate(11, False, '...', 0)", "s|truncate(3, true, '', 0)",
    "multi|indent", "multi|indent(2, blank=true)", "multi|indent('> ', first=true)", "none|indent", "missing|indent", "missing|trim", "none|trim", "n|trim", "missing|upper", "missing|length", "none|length", "n|length", "missing|list", "none|list", "missing|default(1)", "none|default(1)", "none|default(1, true)",
    "missing.x|default(1)", "d.q|default('z')", "missing|string", "none|string", "missing|safe", "missing|e", "missing|replace('a', 'b')", "12321|replace(2, 'x')", "s|replace('l', '', 1)", "s|title", "'a-b (c) <d'|title", "'they\\'re'|title", "'they\\'re'.title()", "'ǆ ß ŉ'.title()", "'ß'|upper", "'İ'|lower", "'ΑΣ'.lower()", "'ﬁ'.capitalize()",
    "uni|length", "uni[2]", "uni[::-1]", "uni|list", "uni.find('ß')", "uni|reverse", "uni.center(9, '漢')", "'%3s|' % '😀'", "uni|upper", "uni < 'aé\\uffff'", "ws.strip()", "ws.split()", "ws|trim", "'\\x1c a \\x85'.strip()", "'\\ufeffa'.strip()", "'a\\u2028b\\x0bc\\x1cd\\x85e'.splitlines()", "''.splitlines()", "''.split()", "''.split(',')", "'a,,b'.split(',')",
    "' a  b '.split(' ')", "'abc'.split('')", "'abc'.strip('')", "'aXbXc'.rsplit('X', 1)", "'  a b  c '.split(none, 1)", "'  a b  c '.rsplit(none, 1)", "'a'.join('xyz')", "','.join([1])", "','.join(names)", "','.join(missing)", "'x' * 3", "3 * 'x'", "'x' * -1", "[1] * 2", "(1,) * 2", "'x' * 1.5", "[1] + (2,)", "[1] + [2]", "(1,) + (2,)", "'a' + 1", "1 + 'a'", "none + 1", "missing + 1", "1 + missing", "-missing", "-'a'",
    "missing < 1", "1 < none", "'a' < 1", "[1] < 'a'", "1 / 0", "1 // 0", "1 % 0", "1.0 / 0", "0 ** -1", "range(5)", "range(1, 5)|list", "range(5, 0, -2)|list", "range(0)", "range(3)[1]", "range(10)[2:5]", "range(3)|length", "range(200000)", "range('a')", "range(1, 2, 0)", "3 in range(5)", "range(3) == range(0, 3, 1)", "range(2, 8, 3)",
    "dict(a=1, b='x')", "dict({'a': 1}, b=2)", "dict([('a', 1)])", "dict.fromkeys(['a', 'b'], 0)", "namespace(a=1).a", "namespace(a=1).b", "namespace({'a': 2})['a']", "namespace(_a=1)", "cycler('a', 'b').next()", "cycler()", "joiner('x')()", "raise_exception('no')", "strftime_now('%Y')|length", "missing()", "s()", "s.upper", "n()", "none()",
    "missing is defined", "d.zz is defined", "d.zz.y is defined", "missing is none", "none is none", "missing is iterable", "missing is sequence", "missing is string", "missing is mapping", "missing is callable", "s is sequence", "range(2) is sequence", "d.keys() is sequence", "d.items is callable", "namespace is callable", "dict is callable", "l|map('string') is iterable", "l|map('string') is sequence", "(html|safe) is string",
    "(html|safe) is escaped", "true is number", "true is integer", "1.0 is float", "1.0 is integer", "'upper' is filter", "'nope' is filter", "'odd' is test", "1 is sameas 1", "1 is in [1]", "1 is not in [1]", "3 is divisibleby 3", "none is not none", "1 is nosuch", "1|nosuch", "(1|nosuch) if no else 2", "t is true", "1 is true", "'a' is lower", "'1' is lower", "n is odd and f is number",
    "[1,2,3,]", "{'a': 1,}", "(1,2,)", "dict(a=1,)", "l[-1:]", "l[:]", "none_[1:]", "d[1:]", "missing[1:]", "l['a':]", "l[::0]", "'abc'[1:][0]", "messages[1:][0].role", "loop", "self", "caller", "varargs", "true_", "True", "None", "False", "none", "[true, false, none]",
    "s|upper|lower|title", "s|replace('World', n)|upper", "(s|length) + 1", "s|length + 1", "-n|abs", "-(n|abs)", "n ** 2 ** 0", "2 + 3 * 4 ** 2 // 5 % 6", "not n == 7", "1 + 1 ~ 2 + 2", "1 ~ 2 == 12", "'a' in 'abc' and 'b' not in 'xyz'", "s.split(', ')[1].lower()", "(s, n)[0]", "[s, n][1]", "{'k': s}.k", "s['upper']()", "d['get']('b')", "f.is_integer()", "one.is_integer()", "n.bit_length()", "n.real", "true.real",
    "lipsum is defined", "missing2.x.y", "none.x.y", "x is undefined or x.y", "not x.y", "users|selectattr('ok')|list|tojson", "messages|tojson|length", "l|slice(2, 'f')|list", "l|batch(2, 'f')|list", "users|map(attribute='n')|map('upper')|join('')", "'a%sb'|format('x')", "'%(a)s'|format(a=1)", "'%d'|format('a')", "l|count", "d|length", "d|list", "d|items|list", "l|items|list", "none|items|list", "missing|items|list",
]
TEMPLATES = [
    "a\n{% if t %}\nb\n{% endif %}\nc\n", "a\n  {% if t %}  \n  b\n  {% endif %}  c", "  {{ n }}  \n", "x {%- if t -%} y {%- endif -%} z", "{%+ if t %}a{% endif +%}\nb", "  {%+ if t %}a{% endif %}", "a {#- c -#} b", "{# c #}\nx", "  {# c #}\n  x", "{# a\n  b #}c",
    "{% raw %}{{ x }}{% endraw %}", "{% raw -%}\n  {{ x }} {%- endraw %}", "  {% raw %} a {% endraw %}\n b", "a\r\nb{% if t %}\r\nc\r\n{% endif %}\r\n", "a\n\n", "a\n", "\n", "", "{{ 'a\n b' }}", "{{-n-}}", "a{{- n -}} b", "{{ n\n}}\nx", "{%if t%}a{%endif%}", "{% if t -%}\n  a\n{%- else -%}\n b\n{% endif %}", "{{ '}}' }}", "{{ {'a': {'b': 1}}.a.b }}", "{{ '{%' }}", "a{b}c{ {", "}} %}",
    "{% for x in l %}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}", "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}",
    "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}", "{% for x in l %}{{ loop.previtem is defined }}{{ loop.nextitem is undefined }}{% endfor %}", "{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for x in [1,1,2] %}{{ loop.changed(x) }}{% endfor %}", "{% for x in [] %}a{% else %}b{% endfor %}", "{% for x in missing %}a{% else %}b{% endfor %}", "{% for x in none %}a{% endfor %}", "{% for x in 5 %}a{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}", "{% for a, b in [(1, 2), [3, 4]] %}{{ a }}{{ b }}{% endfor %}", "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "{% for a, b in [(1,)] %}{% endfor %}", "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for c in uni %}[{{ c }}]{% endfor %}", "{% for a, b in 'xy' %}{% endfor %}", "{% for a, b in ['xy'] %}{{ a }}{{ b }}{% endfor %}",
    "{% for x in range(9) if x is odd %}{{ loop.index }}:{{ x }} {% endfor %}", "{% for x in range(9) if x is odd %}{{ loop.length }}{{ loop.last }} {% endfor %}", "{% for x in l if x > 9 %}a{% else %}none{% endfor %}", "{% for m in messages if m.role == 'user' %}{{ m.role }}{{ loop.index }}{% endfor %}", "{% for x in range(9) %}a{{ x }}{% if x == 2 %}{% break %}{% endif %}b{% endfor %}c", "{% for x in range(5) %}a{{ x }}{% if x is odd %}{% continue %}{% endif %}b{% endfor %}", "{% for x in [1] %}{% break %}{% else %}E{% endfor %}", "{% for x in [1] %}{% continue %}{% else %}E{% endfor %}", "{% for x in [1, 2] %}{% if x == 2 %}{% break %}{% endif %}{% else %}E{% endfor %}",
    "{% for x in [1,2] %}{% for y in [1,2] %}{% if y == 2 %}{% break %}{% endif %}{{ x }}{{ y }}{% endfor %}{% endfor %}", "{% for x in [] %}{% else %}{% break %}{% endfor %}", "{% break %}", "{% if t %}{% continue %}{% endif %}", "{% for x in [1, 2] %}{% set y %}a{% break %}{% endset %}{% endfor %}z", "{% set x = 1 %}{% for i in l %}{% set x = i %}{{ x }}{% endfor %}{{ x }}", "{% for i in l %}{% if loop.first %}{% set x = 'F' %}{% endif %}[{{ x }}]{% endfor %}", "{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}", "{% if no %}{% set n = 2 %}{% endif %}{{ n }}", "{% if no %}{% set q = 2 %}{% endif %}{{ q }}", "{% for i in [1] %}{% set n = 0 %}{% endfor %}{{ n }}",
    "{{ n }}{% set n = 1 %}{{ n }}", "{% for i in l %}{{ n }}{% set n = i %}{{ n }},{% endfor %}{{ n }}", "{% for i in l %}{% if i == 1 %}{% set n = 'X' %}{% endif %}{{ n }}{% endfor %}", "{% set n %}x{{ n }}y{% endset %}{{ n }}", "{% set x | upper %}a{{ n }}{% endset %}{{ x }}", "{% set x | replace('a', 'b') | upper %}a{% endset %}{{ x }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a, b = [1] %}", "{% set (a, b) = (1, 2) %}{{ a + b }}", "{% set a = 1, %}{{ a }}", "{% set ns = namespace(x=0, y='') %}{% for i in l %}{% set ns.x = ns.x + i %}{% set ns.y = ns.y ~ i %}{% endfor %}{{ ns.x }}{{ ns.y }}", "{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a }}{{ ns.b }}{{ ns.c }}", "{% set d.x = 1 %}", "{% set missing.x = 1 %}", "{% set ns = namespace() %}{% set ns._x = 1 %}", "{{ namespace(a=1, b='x') }}", "{% set ns = namespace(found=false) %}{% for m in messages %}{% if m.role == 'assistant' %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.found }}",
    "{% macro f(a, b='B', c=a) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ f(1) }}{{ f(1, 2) }}{{ f(b=3, a=4) }}{{ f() }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(z=2) }}", "{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, z=3) }}", "{% macro f(x) %}{{ caller(x) }}{% endmacro %}{% call(y) f(3) %}<{{ y }}>{% endcall %}", "{% macro f() %}({{ caller() }}){% endmacro %}{% call f() %}in {{ n }}{% endcall %}", "{% macro f() %}{{ caller is defined }}{% endmacro %}{{ f() }}", "{% macro f() %}a{% endmacro %}{% call f() %}b{% endcall %}", "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "{% macro f() %}{{ n }}{{ x }}{% endmacro %}{% set x = 5 %}{{ f() }}", "{% set x = 5 %}{% macro f() %}{{ x }}{% set x = 6 %}{{ x }}{% endmacro %}{{ f() }}{{ x }}", "{% for i in l %}{% macro f() %}{{ i }}{% endmacro %}{{ f() }}{% endfor %}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f }}{{ f.name }}{{ f.arguments }}{{ f.caller }}", "{{ f(1) }}{% macro f(a) %}{{ a }}{% endmacro %}", "{% macro f() %} a \n{% endmacro %}[{{ f()|trim }}]", "{% macro f(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ f(*[1, 2]) }}{{ f(**{'a': 3, 'b': 4}) }}", "{% macro f(a) %}{{ a is defined }}{% endmacro %}{{ f() }}", "{% macro f(a=1, b) %}{% endmacro %}", "{% macro g(m) %}{% for c in m %}{{ c }}{% endfor %}{% endmacro %}{% macro f(m) %}{{ g(m) ~ '!' }}{% endmacro %}{{ f('ab') }}",
    "{% for x in nested.k.k recursive %}{% if x is mapping %}{{ x }}{% else %}{{ x }}{% endif %}{% endfor %}", "{% for x in [1, [2, [3]]] recursive %}{% if x is number %}{{ x }}@{{ loop.depth }}{% else %}({{ loop(x) }}){% endif %}{% endfor %}", "{% for x in l %}{{ loop(x) }}{% endfor %}", "{% for x in l %}{% for y in l %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}", "{% for x in l %}{% set o = loop %}{% for y in [1] %}{{ o.index }}{{ loop.index }}{% endfor %}{% endfor %}", "{% for loop in l %}{% endfor %}", "{{ loop.index }}", "{% for x in l %}{{ loop }}{% endfor %}",
    "{% filter upper %}a{{ s }}{% endfilter %}", "{% filter replace('a', 'b')|upper %}banana{% endfilter %}", "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with n = n + 1 %}{{ n }}{% endwith %}{{ n }}", "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}", "{% block a %}x{{ n }}{% endblock %}{{ self.a() }}", "{% set q = 1 %}{% block a %}{{ q }}{% endblock %}", "{% for i in l %}{% block a %}{{ i }}{% endblock %}{% endfor %}", "{% for i in l %}{% block a scoped %}{{ i }}{{ loop.index }}{% endblock %}{% endfor %}", "{% block a %}{% endblock %}{% block a %}{% endblock %}", "{% print n, s %}", "{% autoescape false %}{{ html }}{% endautoescape %}", "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}", "{% do x %}", "{% unknown %}", "{% if %}", "{% if t %}", "{% endif %}", "{% for x in l %}", "{% for x l %}{% endfor %}", "{% set %}", "{{ }}", "{{ 1 + }}", "{{ (1 }}", "{{ 1) }}", "{{ 'a }}", "{{ a b }}", "{# x", "{% raw %}", "{{ 1", "{% set 1 = 2 %}", "{% set true = 2 %}", "{% set a.b.c = 2 %}", "{{ f(a=1, 2) }}", "{{ @ }}", "{% if t %}{% endfor %}{% endif %}", "{% elif x %}", "{{ a..b }}", "{{ [1 2] }}", "{{ {1} }}", "{% if t: %}x{% endif %}", "{% for x in 1, 2 %}{{ x }}{% endfor %}", "{% if 1, 2 %}x{% endif %}", "{{ 1, 2 }}", "{{ 1 is odd is odd }}",
    "{% generation %}a{% endgeneration %}", "{% for m in messages %}{%- generation -%} {{ m.role }} {%- endgeneration -%} {% endfor %}", "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}", "{% for x in l %}{% generation %}{% break %}{% endgeneration %}{% endfor %}",
    "{% if x is defined and x.y %}a{% else %}b{% endif %}", "{% if missing %}a{% elif n == 7 %}b{% else %}c{% endif %}", "{% if no %}a{% elif no %}b{% elif t %}c{% endif %}", "{% if no %}{{ 1|nosuch }}{% endif %}x", "{% if t %}{{ 1|nosuch }}{% endif %}x", "{% if no %}{{ 1 is nosuch }}{% endif %}x", "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}", "{% set j = joiner('|') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}", "{% set g = l|map('string') %}{{ g|list }}{{ g|list }}", "{% for x in l|map('string') %}{{ loop.length }}{{ x }}{{ loop.last }}{% endfor %}", "{% set x = [] %}{% set x = x + [1] %}{{ x }}", "{% for m in messages %}{{ '<|' + m['role'] + '|>' + (m['content'] if m['content'] is string else m.content|tojson) + '\\n' }}{% endfor %}", "{% for m in messages[::-1] %}{{ loop.index0 }}{{ m.role }}{% endfor %}", "{% set last = messages|last %}{{ last.role }}", "{{ messages[1].content.split('\\n') }}", "{% for l in multi.splitlines() %}<{{ l }}>{% endfor %}", "{{ caller() }}", "{% if 'tools' in missing %}a{% endif %}", "{{ 'x' if missing is defined and missing|length > 0 }}", "{{ raise_exception('bad ' ~ n) }}", "{% if (messages[0]['role'] == 'system') %}{{ messages[0]['content'] | trim }}{% endif %}", "{{ strftime_now('%%') }}", "{{ ('a' ~ 1) | upper }}", "{{ s | upper() }}", "{{ s|default }}", "{{ l | map(attribute=0) | list }}", "{{ users | map(attribute='n.x') | list }}", "{{ nested | attr('k') }}", "{{ n.__class__ }}|{{ s.__len__ }}", "{{ s['__class__'] }}", "{{ ''.__class__.mro() }}", "{{ d.__class__ is defined }}", "{{ d.update({'x': 1}) }}", "{{ l.append }}", "{{ namespace.__init__ }}", "{{ [].__class__ == 1 }}",
]


def expressions():
    yield from EXPRESSIONS
    yield from (f"{a} {op} {b}" for a, op, b in product(PAIRS, BINARY, PAIRS) if (a, op, b) != ("2.5", "**", "2.5"))
    yield from VALUES
    yield from (f"{value}|{name}" for value, name in product(VALUES, FILTERS))
    yield from (f"{value} is {name}" for value, name in product(VALUES, TESTS))
    yield from (f"{value}.{name}" for value, name in product(["s", "multi", "uni", "empty", "'12'", "missing", "n"], METHODS))
    yield from (f"{value}{name}" for value, name in product(["s", "l", "uni", "(1, 2, 3)", "range(9)", "d", "missing", "none_"], SLICES))
    yield from (f"'{text}" for text in PRINTF + FORMAT)


def render(source):
    try:
        return _compile_jinja_template(source).render(**copy.deepcopy(CONTEXT), tools=None, documents=None)
    except RecursionError:
        raise
    except Exception:
        return None


def main():
    sources = [*(f"{{{{ {expression} }}}}" for expression in expressions()), *TEMPLATES]
    cases = [[source, render(source)] for source in dict.fromkeys(sources)]
    # The text of an object with an address differs from run to run; complex numbers are not supported
    cases = [case for case in cases if case[1] is None or not (" at 0x" in case[1] or case[1].endswith("j)"))]
    lines = ",\n".join(json.dumps(case, ensure_ascii=True) for case in cases)
    context = json.dumps(CONTEXT, ensure_ascii=True)
    out = Path(__file__).resolve().parents[1] / "fixtures" / "jinja.json"
    out.write_text(f'{{"context": {context},\n"cases": [\n{lines}\n]}}\n')
    print(len(cases), out.stat().st_size)


main()
