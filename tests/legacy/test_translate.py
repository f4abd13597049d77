"""Translation: what is left alone, what is listed, what is refused; how long it takes."""

from __future__ import annotations

import ast
import contextlib
import time

import pytest
from support_assets import ROOT

from caffe.errors import ParseError
from caffe.legacy.translate import decoded, translate

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_scripts_of_today_stay_as_they_are(path):
    text = path.read_text(encoding="utf-8")
    found = translate(text, str(path))
    assert found.text == text
    assert not found.changes and not found.python2


def test_there_are_examples():
    assert len(EXAMPLES) > 3


def test_the_original_lines_keep_their_numbers():
    text = 'import caffe\nprint """a\nb""", 3\nfor x in xrange(2): print x,\n\nraise IOError, "end"\n'
    found = translate(text)
    assert found.python2
    assert found.text.count("\n") == text.count("\n")
    assert [c.line for c in found.changes] == [2, 4, 6]
    lines = found.text.split("\n")
    assert all(c.after == lines[c.line - 1] for c in found.changes)
    assert str(found.changes[0]) == 'line 2: print is a function\n    - print """a\n    + print("""a'


def test_tabs_count_to_the_next_multiple_of_eight():
    found = translate("def f(x):\n        if x:\n\t\tprint x\n\treturn 3\n")
    tree = ast.parse(found.text)
    assert len(tree.body[0].body) == 2
    assert any("tab" in c.after or "tab" in str(c) for c in found.changes)


def test_dos_line_ends():
    assert translate("print 'a'\r\nprint 'b'\r\n").text == "print('a')\nprint('b')\n"
    today = "print('a')\r\n"
    assert translate(today).text == today


@pytest.mark.parametrize(
    "text, line",
    [
        ("import caffe\nx = 3\nprint 'a'\ny = (3,,\n", 4),
        ("a = 1\nprint('x')\ndef f(:\n    pass\n", 3),
        ("print 'fine'\nfor in range(3):\n    pass\n", 2),
        ("x = 1\n  y = 2\n", 2),
        ("s = 'no end\nprint s\n", 1),
    ],
)
def test_real_errors_are_told_at_their_own_line(text, line):
    with pytest.raises(ParseError) as told:
        translate(text, "old.py")
    assert told.value.line == line
    assert "old.py" in str(told.value)


@pytest.mark.parametrize(
    "text", ["\0", "print " + "(" * 500, "x = [" * 2000, "\x0c\\", "print `", "lambda (", "exec"]
)
def test_anything_is_translated_or_refused(text):
    with contextlib.suppress(ParseError):
        ast.parse(translate(text).text)


def test_a_long_script_takes_less_than_half_a_second():
    part = (
        "def f{0}(a, b):\n    for k, v in a.iteritems():\n        print k, v / {0}, b[k:v / 2]\n"
        "    return map(str, b)\n"
    )
    text = "".join(part.format(i) for i in range(250))
    start = time.process_time()
    found = translate(text)
    assert time.process_time() - start < 0.5 * 4  # four times, for slow machines; 1,000 lines take 0.15 s
    assert len(found.changes) == 750


def test_the_coding_is_the_scripts():
    assert decoded("# -*- coding: latin-1 -*-\ns = 'é'\n".encode("latin-1")).endswith("s = 'é'\n")
    assert decoded("s = 'é'\n".encode()) == "s = 'é'\n"
    assert decoded(b"\xef\xbb\xbfx = 1\n") == "x = 1\n"
    assert decoded("s = 'é'\n".encode("latin-1")) == "s = 'é'\n"


def test_written_versions_stand_alone():
    found = translate('#!/usr/bin/env python\n"""Doc."""\nfrom __future__ import division\nprint 3 / 2\n')
    written = found.standing_alone()
    assert written.startswith("#!/usr/bin/env python\n")
    compile(written, "w", "exec")
    assert written.split("\n")[3].startswith("import caffe.legacy.shims as _old")
    today = translate("print(3)\n")
    assert today.standing_alone() == "print(3)\n"


def test_ipythons_lines_in_a_script():
    text = (
        "In [1]: %matplotlib inline\n!ls -l {folder}\nfiles = !ls\n%timeit f(3)\nx = (7\n  % 4)\n"
        's = """\n!no command\n%no magic\n"""\nif x:\n    !echo $x\n'
        "!tool --a \\\n  --b \\\n  --c\nprint 3\n"
    )
    lines = translate(text).text.split("\n")
    assert lines[0] == "pass"
    assert lines[1] == "_old.shell('ls -l {folder}', globals(), locals())"
    assert lines[2] == "files = _old.captured('ls', globals(), locals())"
    assert lines[3] == "f(3)"
    assert lines[4:10] == ["x = (7", "  % 4)", 's = """', "!no command", "%no magic", '"""']
    assert lines[12:16] == ["_old.shell('tool --a    --b    --c', globals(), locals()", "", ")", "print(3)"]
    assert lines[11] == "    _old.shell('echo $x', globals(), locals())"


def test_a_script_for_both_keeps_its_division():
    both = "try:\n    import cPickle as pickle\nexcept ImportError:\n    import pickle\nprint(7 / 2)\n"
    found = translate(both)
    assert found.text == both and not found.python2
    assert "_old.div" in translate(both, python2=True).text


def test_what_only_python_3_has_says_that_it_is_python_3():
    text = "def f(a: int) -> int:\n    return a / 2\nunicode = str\nd.iteritems()\n"
    assert translate(text).text == text


def test_beside_a_script_of_python_2_modules_are_too():
    assert translate("n = 7 / 2\n", assume=True).python2
    assert not translate("n: int = 7\n", assume=True).python2


@pytest.mark.parametrize(
    "text",
    [
        "zip(a, b)[0]\n",
        "x = map(f, y)\nx.sort()\n",
        "r = range(3) + range(4)\n",
        "r = [1] + range(3)\n",
        "r = range(3)\nr.append(4)\n",
        "print(len(filter(None, x)))\n",
        "class G:\n  def __init__(self):\n    self.pairs = make()\n  def go(self):\n    return self.pairs.pop(0)\n"
        "def make():\n  return zip([1], [2])\n",
        "class G:\n  def m(self):\n    return map(int, 'x')\n  def n(self):\n    return self.m()[0]\n",
    ],
)
def test_what_only_a_list_can_do_says_that_it_is_python_2(text):
    assert translate(text).python2


@pytest.mark.parametrize(
    "text",
    [
        "x = list(zip(a, b))[0]\n",
        "r = range(3)\nr[0]\nlen(r)\n",
        "def zip(a): return a\nzip(3)[0]\n",
        "x = zip(a, b)\nx = list(x)\nx[0]\n",
        "x = zip(a, b)\nx, y = [1], 2\nx[0]\n",
        "def f(x):\n  return x[0]\nx = zip(a, b)\n",
        "def make(a):\n  if a: return []\n  return zip(a)\nmake(3)[0]\n",
        "import numpy as np\nnp.zip(3)[0]\n",
        "for x in y:\n  x[0]\nx = zip(a, b)\n",
    ],
)
def test_what_python_3_can_do_does_not(text):
    assert translate(text).text == text
