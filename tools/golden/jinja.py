#!/usr/bin/env python3
"""Small templates drawn by chance, and what transformers makes of them: tests/golden/jinja/.

    python3 tools/golden/jinja.py OUT [--seed N] [--count N]     OUT/record.json and OUT/templates.jsonl
    python3 tools/golden/jinja.py --mop build/mop [--seed N] [--count N]     hold mop against transformers, and print what differs

Needs PyPI's transformers and jinja2. A line of templates.jsonl is {"template", "text"} or {"template", "error": true}; all are rendered over the one
record. Half are expressions (operators, filters, methods, tests over values of every kind), half are statements (scopes of variables, loops, macros,
blocks, white space around tags). What Python prints as an address, or takes from its memory or its clock, is left out.
"""
import argparse
import copy
import json
import os
import random
import re
import signal
import subprocess
import tempfile
from datetime import datetime

from transformers.utils import chat_template_utils

RECORD = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi <b>& you</b>\n two  lines\n\n", "name": "Zoë", "tags": ["b", "A", "c"], "n": 5},
        {"role": "assistant", "content": None, "reasoning": "why",
         "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": {"a": 1, "b": [1.5, None, True], "é": "ü\u2028\x07"}}}]},
        {"role": "tool", "content": [{"type": "text", "text": "héllo wörld"}, {"type": "image"}], "x": -3, "y": 2.5, "e": {}}],
    "tools": [{"type": "function", "function": {"name": "f", "description": "does f", "parameters": {
        "type": "object", "properties": {"a": {"type": "integer", "maximum": 18446744073709551615}}, "required": ["a"]}}}],
    "add_generation_prompt": True,
    "kwargs": {"s": "Hello World", "u": "ÄÖ straße ΣΑΣ ǆ 'q' \"d\"", "i": 7, "neg": -7, "f": 2.75, "big": 123456789012345678901234567890,
               "t": True, "none": None, "l": [3, 1, 2], "ls": ["b", "a", "C", "a"], "d": {"z": 1, "a": {"b": 2}, "items": 3}, "empty": "", "el": [],
               "mixed": [1, "a", None, 2.0, [1], {"k": 1}],
               "people": [{"name": "Bob", "age": 30}, {"name": "al", "age": 25}, {"name": "Cy", "age": 30}], "bos_token": "<s>"},
    "now": "2026-03-09T14:05:07"}

VALUES = """s u i neg f big t none l ls d empty el mixed people messages tools undefd messages[1] messages[3].content
messages[2].tool_calls[0].function d.a range(4) namespace(a=1)""".split()
LITERALS = ["1", "0", "-2", "3.5", "'ab'", "\"x y\"", "''", "[1,2]", "['a','B']", "(1,'x')", "{}", "{'k':1,'j':[2]}", "true", "none", "1e3", "' pad '",
            "'a,b,c'", "'%s-%d'", "'%05.1f|%x'", "100000000000000000000", "'12'", "'3.7'", "'ǅabc'", "'é'", "'A\\tb\\nc'"]
PLAIN_FILTERS = """upper lower title capitalize trim length count first last reverse list string int float abs round sort unique join tojson items
dictsort sum min max wordcount escape e safe forceescape striptags urlencode default d select reject center filesizeformat indent truncate""".split()
FILTERS = """default({e}) default({e},true) join({s}) join('-') replace({s},{s}) replace('a','b',1) int({i}) int(base=16) float(1.5) round({i})
round(1,'floor') round({i},'ceil') sort(reverse=true) sort(case_sensitive=true) sort(attribute='age') sort(attribute='age,name') map('upper')
map('string') map(attribute='name') map(attribute='role') map(attribute='x.y',default='?') map('default','z') map('int') map('tojson')
select('string') select('number') reject('none') select('in',[1,'a']) selectattr('name') selectattr('age','gt',26)
selectattr('name','equalto','Bob') rejectattr('age','eq',30) batch({i}) batch(2,{e}) slice(2) slice(2,{e}) groupby('age') groupby('name')
tojson(indent={i}) tojson(sort_keys=true) tojson(separators=(',',':')) tojson(true) tojson(ensure_ascii=true,indent=1) indent({i}) indent('>',true)
indent(2,true,true) truncate({i}) truncate(5,true) truncate(8,false,'~',0) center({i}) format({e}) format({e},{e}) trim({s}) attr('items')
attr('x') dictsort(by='value') dictsort(true) dictsort(reverse=true) min(attribute='age') max(attribute='name') sum(attribute='age')
sum(start={e}) unique(attribute='age') first last list length string tojson items xmlattr d({e})""".split()
METHODS = ["split(' ')", "rsplit(' ',1)", "partition(' ')"] + """upper() lower() strip() strip({s}) lstrip() rstrip('x') split() split({s}) split(None,1)
split(',',1) rsplit() rsplit({s},{i}) splitlines() splitlines(true) rpartition('o') startswith({s}) startswith(('a','H')) endswith({s}) find('o')
find('o',{i}) rfind('o') index('o') count('l') count('') replace('l','L') replace('','-') replace('l','L',1) title() capitalize() casefold()
swapcase() center({i}) center(9,'*') ljust({i},'.') rjust(8) zfill({i}) expandtabs(4) isdigit() isalpha() isalnum() isupper() islower() isspace()
istitle() isidentifier() isprintable() isascii() isnumeric() isdecimal() removeprefix('He') removesuffix('d') join({e}) join(['a','b'])
format(1,{e},k={e}) items() keys() values() get('a') get({s}) get('zz',{e}) copy() index({e}) count({e}) append(1) pop() is_integer() items""".split()
TESTS = ["in [1,'a',none]", "in 'abc'", "sameas true", "equalto {v}"] + """defined undefined none string number integer float boolean mapping sequence
iterable callable true false odd even lower upper divisibleby(2) eq({e}) ne({e}) lt({e}) ge({e}) sameas(none) test escaped""".split()
OPERATORS = "+ - * / // % ~ == != < > <= >= and or in".split() + ["not in"]


class Expressions:
    def __init__(self, rng):
        self.r = rng

    def value(self):
        return self.r.choice(VALUES) if self.r.random() < .6 else self.r.choice(LITERALS)

    def fill(self, text, depth):
        for mark, draw in (("{i}", lambda: str(self.r.choice([0, 1, 2, 3, 5, 12, -1, 20]))),
                           ("{s}", lambda: self.r.choice(["'l'", "'o'", "' '", "''", "'ab'", "s", "'é'"])),
                           ("{e}", lambda: self.draw(max(0, depth - 2))), ("{v}", self.value)):
            while mark in text:
                text = text.replace(mark, draw(), 1)
        return text

    def operand(self, depth):
        x = self.draw(depth)
        return x if self.r.random() < .5 and (x[0] in "([" or x.isidentifier()) else f"({x})"

    def draw(self, depth):
        r, sub = self.r, depth - 1
        if depth <= 0 or r.random() < .18:
            return self.value()
        k = r.random()
        if k < .03:
            return f"({r.choice(['2', 'i', 'neg', 'f', 'big', '10', '0'])} ** {r.choice(['0', '1', '2', '-1', '0.5', '10', '63', '64', 'neg'])})"
        if k < .28:
            return f"({self.draw(sub)} {r.choice(OPERATORS)} {self.draw(sub)})"
        if k < .42:
            return f"{self.operand(sub)}|{r.choice(PLAIN_FILTERS)}"
        if k < .60:
            return f"{self.operand(sub)}|{self.fill(r.choice(FILTERS), depth)}"
        if k < .76:
            return f"{self.operand(sub)}.{self.fill(r.choice(METHODS), depth)}"
        if k < .84:
            return f"({self.operand(sub)} is {r.choice(['', 'not '])}{self.fill(r.choice(TESTS), depth)})"
        if k < .88:
            return f"{self.operand(sub)}[{r.choice(['0', '-1', '1', repr('a'), repr('items'), '5', 'true', '1.0', 'none'])}]"
        if k < .93:
            return f"{r.choice(['s', 'u', 'l', 'ls', 'mixed', 'messages'])}[{r.choice(['', '1', '-2', '0', '10'])}:{r.choice(['', '2', '-1', '5'])}" \
                   f"{r.choice(['', ':2', ':-1', ':'])}]"
        if k < .97:
            return f"{r.choice(['not ', '-'])}{self.operand(sub)}"
        if k < .985:
            return f"({self.draw(sub)} if {self.draw(sub)} else {self.draw(sub)})"
        return f"[{self.draw(sub)}, {self.draw(sub)}]"

    def template(self):
        x, k = self.draw(self.r.randint(1, 3)), self.r.random()
        if k < .6:
            return "{{ %s }}" % x
        if k < .8:
            return "{{ (%s)|tojson }}" % x
        if k < .9:
            return "{%% for q in %s %%}[{{ q }}:{{ loop.index }}{{ loop.last }}]{%% endfor %%}" % x
        return "{%% if %s %%}y{%% else %%}n{%% endif %%}" % x


class Statements:
    """Blocks in one another. A loop's own words are guarded where no loop is near, so that most templates have a text."""

    def __init__(self, rng):
        self.r = rng
        self.loops = 0

    def space(self):
        return self.r.choice(["\n", "\n  ", "  ", " x ", "\n\n", "\t", "", "", " \n ", "text\n", "\u00a0"])

    def tag(self, text):
        r = self.r
        return r.choice(["{%", "{%-", "{%+", "{%", "{%-"]) + r.choice([" ", " ", "  ", "\n"]) + text + r.choice([" ", " ", ""]) + \
            r.choice(["%}", "-%}", "+%}", "%}"])

    def printed(self, x):
        return self.r.choice(["{{", "{{-", "{{+", " {{"]) + f" {x} " + self.r.choice(["}}", "-}}", "}}"])

    def value(self, depth=1):
        r, sub = self.r, depth - 1
        guard = "loop is defined and loop is iterable and loop is not string"
        k = r.random()
        if depth <= 0 or k < .35:
            x = r.choice("""a b c i s 1 'q' [1,2] loop.index loop.last loop.first ns.x undefd loop.length loop.previtem loop.nextitem loop.depth
            loop.revindex0 x a b c i""".split() + ["(a is defined)", "a|default('D')", "b|default('E')", "(caller is defined)", "(loop is defined)"])
            return f"({x} if {guard})" if "loop." in x and not self.loops else x
        if k < .5:
            return f"{self.value(sub)} ~ {self.value(sub)}"
        if k < .6:
            return f"({self.value(sub)} if {self.value(sub)} else {self.value(sub)})"
        if k < .7:
            odd = ["1,2", "1,2,3,k=4", "*[1,2]", "**{'a':3}", "b=1"] if r.random() < .2 else []
            return f"m0({r.choice(['', self.value(sub), 'a=' + self.value(sub)] + odd)})"
        if k < .76:
            return f"m1({r.choice(['', '1', 'b=2'])})"
        if k < .82:
            return f"(caller({r.choice(['', '1'])}) if caller is defined and caller)"
        if k < .86:
            return f"(loop.cycle('x','y') if {guard})"
        if k < .89:
            return f"(loop.changed(a) if {guard})"
        if k < .91:
            return f"(loop([1]) if {guard} and loop.depth < 3)"
        return f"{self.value(sub)}|string|upper"

    def walked(self):
        return self.r.choice(["[1,2,3]", "range(3)", "messages", "'ab'", "[]", "ls", "d.items()", "d", "ls|reverse", "ls|select('string')", "undefd",
                              "[a,b]", "ls|map('upper')"])

    def body(self, depth, loop=False):
        return "".join(self.space() + self.statement(depth - 1, loop) for _ in range(self.r.randint(1, 4))) + self.space()

    def simple(self, loop):
        k, r = self.r.random(), self.r
        if k < .55:
            return self.printed(self.value())
        if k < .85:
            return self.tag(f"set {r.choice('abcis')} = {self.value()}")
        if k < .9:
            return self.tag(f"set ns.x = {self.value()}")
        if k < .93:
            return "{#" + r.choice(["", "-", "+"]) + " c {{ " + r.choice(["", "-"]) + "#}"
        if k < .96:
            return self.tag(f"set a, b = [{self.value(0)}, {self.value(0)}]")
        return self.tag(r.choice(["break", "continue"])) if loop else self.printed("1")

    def loop(self, depth, outer):
        r = self.r
        name, k = r.choice("aibx"), r.random()
        pairs = k < .1
        test = f" if {r.choice(['a is defined', 'i != 2', 'loop is defined', 'true', name + ' is string or true'])}" if r.random() < .3 else ""
        text = self.tag(f"for {'a, b' if pairs else name} in {'[[1,2],[3,4]]' if pairs else self.walked()}{test}"
                        f"{' recursive' if r.random() < .15 else ''}")
        self.loops += 1
        text += self.body(depth, True)
        self.loops -= 1
        if r.random() < .3:
            text += self.tag("else") + self.body(depth, outer)
        return text + self.tag("endfor")

    def statement(self, depth, loop):
        r = self.r
        k = r.random()
        if depth <= 0 or k < .28:
            return self.simple(loop)
        if k < .45:
            text, more = self.tag(f"if {self.value()}") + self.body(depth, loop), r.random()
            if more < .3:
                text += self.tag(f"elif {self.value()}") + self.body(depth, loop)
            if more < .6:
                text += self.tag("else") + self.body(depth, loop)
            return text + self.tag("endif")
        if k < .66:
            return self.loop(depth, loop)
        if k < .79:
            name, parameters = r.choice([("m0", r.choice(["a", "a=1", "a, b=2", "a, b=a", "a=i, b=2"])), ("m1", r.choice(["", "b"]))])
            return self.tag(f"macro {name}({parameters})") + self.body(depth) + self.tag("endmacro")
        if k < .84:
            return self.tag(f"call{r.choice(['', '(a)', '(a=2)'])} m0({r.choice(['', '1'])})") + self.body(depth) + self.tag("endcall")
        if k < .88:
            return self.tag(f"with {r.choice(['a = 1', 'a = b, b = a', '', 'i = loop'])}") + self.body(depth, loop) + self.tag("endwith")
        if k < .92:
            filters = r.choice(["", " | upper", " | replace('x','y') | trim"])
            return self.tag(f"set {r.choice('abc')}{filters}") + self.body(depth, loop) + self.tag("endset")
        if k < .95:
            name = r.choice(["upper", "trim", "replace('t','T')|upper", "default(a)"])
            return self.tag(f"filter {name}") + self.body(depth, loop) + self.tag("endfilter")
        if k < .98:
            return self.tag("generation") + self.body(depth) + self.tag("endgeneration")
        return self.tag("raw") + " {{ x " + self.tag("endraw")

    def template(self):
        r = self.r
        head = self.tag("set ns = namespace(x=0)") + self.tag(f"macro m0({r.choice(['a=7', 'a', 'a, b=a', 'b=2, a=b', ''])})") + \
            "<{{ a }}{{ b }}{{ i }}{{ varargs|default(1) }}{{ kwargs|default(2) }}>" + \
            r.choice(["{{ caller(5) if caller is defined and caller }}", ""]) + self.tag("endmacro") + self.tag("macro m1(b)") + "({{ b }}{{ c }})" + \
            self.tag("endmacro")
        return head + self.body(r.randint(1, 3)) + r.choice(["", "\n", "\n\n", " "])


class Late(BaseException):
    pass


def late(*_):
    raise Late


class clock(datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromisoformat(RECORD["now"])


def render(template):
    """{"text"} or {"error"}; None where the text hangs on Python's memory."""
    record = copy.deepcopy(RECORD)
    messages = [{k: v for k, v in m.items() if v is not None} for m in record["messages"]]
    signal.alarm(5)
    try:
        compiled = chat_template_utils._cached_compile_jinja_template(template)
        text = compiled.render(messages=chat_template_utils._alias_reasoning_fields(messages), tools=record["tools"], documents=None,
                               add_generation_prompt=record["add_generation_prompt"], **record["kwargs"])
        text.encode()
    except (Late, RecursionError, MemoryError):
        return None
    except Exception:
        return {"error": True}
    finally:
        signal.alarm(0)
    address = re.search(r"(?i)0x[0-9a-f]{6}|generator|built-in|bound meth|<function|<class|x7f", re.sub(r"\[(.):\d+(True|False)\]", r"\1", text))
    return None if address or len(text) > 3000 else {"text": text}


def templates(seed, count):
    rng = random.Random(seed)
    makers = [Expressions(rng), Statements(rng)]
    n = 0
    while n < count:
        t = makers[n % 2].template()
        got = render(t)
        if got and len(t) < 1500 and not ("error" in got and rng.random() < .7):
            n += 1
            yield t, got


def main():
    p = argparse.ArgumentParser()
    p.add_argument("out", nargs="?")
    p.add_argument("--mop")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--count", type=int, default=600)
    a = p.parse_args()
    signal.signal(signal.SIGALRM, late)
    chat_template_utils.datetime = clock
    if a.out:
        os.makedirs(a.out, exist_ok=True)
        with open(os.path.join(a.out, "record.json"), "w", encoding="utf-8") as f:
            json.dump(RECORD, f, ensure_ascii=False)
            f.write("\n")
        with open(os.path.join(a.out, "templates.jsonl"), "w", encoding="utf-8") as f:
            for t, got in templates(a.seed, a.count):
                f.write(json.dumps({"template": t, **got}, ensure_ascii=False) + "\n")
        return
    differ = 0
    with tempfile.TemporaryDirectory() as d:
        with open(os.path.join(d, "r.jsonl"), "w") as f:
            f.write(json.dumps(RECORD) + "\n")
        for t, want in templates(a.seed, a.count):
            with open(os.path.join(d, "t.jinja"), "w", newline="") as f:
                f.write(t)
            r = subprocess.run([a.mop, "template", f"template={d}/t.jinja", f"in={d}/r.jsonl"], capture_output=True, text=True, timeout=60)
            got = json.loads(r.stdout) if r.returncode == 0 else {"crash": r.stderr[-300:]}
            if got.get("text") != want.get("text") or ("error" in got) != ("error" in want):
                if "mop's templates" not in got.get("error", ""):
                    differ += 1
                    print(json.dumps({"template": t, "transformers": want, "mop": got}, ensure_ascii=False))
    print(f"{a.count} templates, {differ} differ")


if __name__ == "__main__":
    main()
