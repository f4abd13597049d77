# ruff: noqa: E501
"""Python 2's snippets do what Python 2 did: each is translated, run, and its output compared."""

from __future__ import annotations

import importlib.util

import pytest
from old_snippets import printed_by

# name: (snippet, what Python 2.7 with the libraries of 2015 printed)
CASES = {
    "print several": ("print 'a', 1, 2.5", "a 1 2.5"),
    "print nothing": ("print\nprint 'x'", "x"),
    "print without newline": ("for i in (1, 2): print i,\nprint", "1 2"),
    "print to a file": ("import sys\nprint >>sys.stdout, 'out', 3", "out 3"),
    "print in brackets": ("print ('a')", "a"),
    "print a tuple": ("print ('a', 2)", "('a', 2)"),
    "print brackets and more": ("print ('%d' % 3) + 'x'", "3x"),
    "print formatted": ("print '%s: %d' % ('n', 4)", "n: 4"),
    "print over lines": ("print 'a', \\\n    'b'", "a b"),
    "print after a semicolon": ("x = 1; print x; print x + 1", "1\n2"),
    "print in one line with if": ("if True: print 'yes'\nelse: print 'no'", "yes"),
    "print of a dict's entry": ("d = {'k': 1}\nprint d['k'], d", "1 {'k': 1}"),
    "print as a name is no statement": (
        "from __future__ import print_function\nprint('a', 'b', sep='-')",
        "a-b",
    ),
    "exec": ("exec 'y = 4'\nprint y", "4"),
    "exec in names": ("d = {}\nexec 'z = 5' in d\nprint d['z']", "5"),
    "raise and except": ("try:\n    raise ValueError, 'bad'\nexcept ValueError, e:\n    print e", "bad"),
    "except several": ("try:\n    {}['x']\nexcept (KeyError, IOError), e:\n    print repr(e)", "KeyError('x')"),
    "message": ("try:\n    raise IOError('m')\nexcept IOError as e:\n    print e.message", "m"),
    "not equal": ("print 1 <> 2", "True"),
    "backquotes": ("x = [1]\nprint 'is ' + `x`", "is [1]"),
    "octal and long": ("print 0777, 10L, 0xFFL", "511 10 255"),
    "tuple parameters": ("def f(a, (b, c)):\n    return a + b * c\nprint f(1, (2, 3))", "7"),
    "tuple parameters in a line": ("def f((a, b)): return a - b\nprint f((5, 3))", "2"),
    "lambda of a tuple": ("print sorted({'a': 2, 'b': 1}.items(), key=lambda (k, v): v)", "[('b', 1), ('a', 2)]"),
    "unicode raw": ("print ur'\\d' == u'\\\\d'", "True"),
    "async as a name": ("async = 3\nprint async", "3"),
    "division": ("print 7 / 2, -7 / 2, 7 / 2., 7 % 4", "3 -4 3.5 3"),
    "division of variables": ("a, b = 9, 4\nprint a / b, a / float(b)", "2 2.25"),
    "division in steps": ("a, b, c = 9, 2, 3\nprint a / b / c * 2", "2"),
    "division over lines": ("a = (9\n     / 2)\nprint a", "4"),
    "division with a comment": ("a = (9  # of / all\n     / 2)\nprint a", "4"),
    "division in place": ("a = 9\na /= 2\nb = [7]\nb[0] /= 2\nprint a, b", "4 [3]"),
    "division of arrays": ("import numpy as np\nprint np.array([7, 8]) / 2, np.array([7.]) / 2", "[3 4] [3.5]"),
    "true division where asked for": ("from __future__ import division\nprint 7 / 2", "3.5"),
    "ranges are lists": ("r = range(3) + [9]\nprint r, range(4)[1:]", "[0, 1, 2, 9] [1, 2, 3]"),
    "map, zip, filter are lists": (
        "print map(str, [1, 2])[0], len(zip('ab', 'cd')), filter(None, [0, 5])", "1 2 [5]"
    ),
    "map over several": ("print map(lambda a, b: (a, b), [1, 2], [3, 4])", "[(1, 3), (2, 4)]"),
    "keys as lists": ("d = {'a': 1}\nk = d.keys()\nk.sort()\nprint k, d.values()[0], d.items()[0]", "['a'] 1 ('a', 1)"),
    "a dict changed in its loop": ("d = {'a': 1, 'b': 2}\nfor k in d.keys():\n    del d[k]\nprint d", "{}"),
    "iterators": ("d = {'a': 1}\nprint [k for k, v in d.iteritems()], list(d.itervalues())", "['a'] [1]"),
    "next": ("it = iter([4, 5])\nprint it.next(), it.next()", "4 5"),
    "an iterator's class": (
        "class C(object):\n    def __iter__(self): return self\n"
        "    def next(self): raise StopIteration\nprint list(C())",
        "[]",
    ),
    "has_key": ("d = {'a': 1}\nprint d.has_key('a'), not d.has_key('b')", "True True"),
    "xrange": ("print [i for i in xrange(2)], len(xrange(5))", "[0, 1] 5"),
    "reduce": ("print reduce(lambda a, b: a * b, [2, 3, 4])", "24"),
    "sort with cmp": ("a = [1, 3, 2]\na.sort(lambda x, y: cmp(y, x))\nprint a, sorted(a, cmp=cmp)", "[3, 2, 1] [1, 2, 3]"),
    "identity of values": ("x = 'ab'\nprint x is 'ab', x is not 'c'", "True True"),
    "types": ("print isinstance('a', basestring), isinstance(3, (int, long)), unicode(3)", "True True 3"),
    "a truth of its own": ("class C(object):\n    def __nonzero__(self): return False\nprint bool(C())", "False"),
    "its own division": ("class C(object):\n    def __div__(self, o): return 'd'\nprint C() / 2", "d"),
    "StringIO": ("from StringIO import StringIO\nf = StringIO('a b')\nprint f.read()", "a b"),
    "StringIO of bytes": ("import cStringIO\nf = cStringIO.StringIO(b'\\xff\\x00')\nprint len(f.read())", "2"),
    "cPickle": ("import cPickle as p\nprint p.loads(p.dumps({'a': 1}))", "{'a': 1}"),
    "a pickle in a file": (
        "import cPickle\nwith open('a.pkl', 'wb') as f:\n    cPickle.dump([1], f, cPickle.HIGHEST_PROTOCOL)\n"
        "print cPickle.load(open('a.pkl'))",
        "[1]",
    ),
    "a pickle written as text": (
        "import cPickle\ncPickle.dump([2], open('b.pkl', 'w'))\nprint cPickle.load(open('b.pkl', 'r'))", "[2]"
    ),
    "binary data without a mode": (
        "import struct\nf = open('c.bin', 'w')\nf.write(struct.pack('<i', -2))\nf.close()\n"
        "print struct.unpack('<i', open('c.bin').read())[0]",
        "-2",
    ),
    "text files": ("f = open('d.txt', 'w')\nf.write('a\\nb\\n')\nf.close()\nprint open('d.txt').readlines()", "['a\\n', 'b\\n']"),
    "text appended": ("f = open('d2.txt', 'a')\nprint >>f, 'x', 1\nf.close()\nprint open('d2.txt').read()", "x 1"),
    "urllib": ("import urllib\nprint urllib.quote('a b')", "a%20b"),
    "urllib2": ("import urllib2\nprint urllib2.urlopen is not None", "True"),
    "itertools": ("from itertools import izip, imap\nprint list(izip([1], [2])), list(imap(str, [3]))", "[(1, 2)] ['3']"),
    "string's functions": ("import string\nprint string.join(['a', 'b'], '-'), string.letters[:2]", "a-b ab"),
    "maxint": ("import sys\nprint sys.maxint > 2 ** 31", "True"),
    "reload of sys": ("import sys\nreload(sys)\nsys.setdefaultencoding('utf8')\nprint 'ok'", "ok"),
    "ConfigParser": ("import ConfigParser\nprint ConfigParser.ConfigParser().sections()", "[]"),
    "commands": ("import commands\nprint commands.getoutput('echo hi')", "hi"),
    "Queue": ("import Queue\nq = Queue.Queue()\nq.put(1)\nprint q.get()", "1"),
    "time.clock": ("import time\nprint time.clock() >= 0", "True"),
    "collections": ("import collections\nprint isinstance([], collections.Iterable)", "True"),
    "execfile": ("open('e.py', 'w').write(\"print 'in', 5 / 2\\nv = 3\")\nexecfile('e.py')\nprint v", "in 2\n3"),
    "np.float and others": (
        "import numpy as np\nprint np.zeros(1, np.float).dtype, np.int, np.array([1]).astype(np.bool)",
        "float64 <class 'int'> [ True]",
    ),
    "from numpy import": ("from numpy import float, zeros\nprint zeros(2, float).dtype", "float64"),
    "np.random's integers": ("import numpy as np\nprint 1 <= np.random.random_integers(1, 2) <= 2", "True"),
    "float sizes": ("import numpy as np\nprint np.zeros((4 / 2., 3)).shape, np.zeros(2.).shape", "(2, 3) (2,)"),
    "float indices": ("import numpy as np\na = np.arange(9)\nprint a[a.size / 2.:][0], a[np.floor(2.5)]", "4 2"),
    "float ranges": ("print range(int(3.0)), range(2)", "[0, 1, 2] [0, 1]"),
    "printing everything": ("import numpy as np\nnp.set_printoptions(threshold='nan')\nprint 1", "1"),
    "tostring, fromstring": ("import numpy as np\nprint np.fromstring(np.uint8([1, 2]).tostring(), np.uint8)", "[1 2]"),
    "fromstring of text": ("import numpy as np\nprint np.fromstring('1 2', dtype=int, sep=' ')", "[1 2]"),
    "lines of a text file": (
        "import numpy as np\nf = open('words.txt', 'w')\nf.write('n01 a, b\\nn02 c\\n')\nf.close()\n"
        "print np.loadtxt('words.txt', str, delimiter='\\n').tolist(), np.loadtxt('words.txt', str, delimiter=',', usecols=[0]).tolist()[1:]",
        "['n01 a, b', 'n02 c'] ['n02 c']",
    ),
    "cmp tells Python 2": ("def order(a, b):\n    return cmp(a, b)\nprint order(1, 2)", "-1"),
    "temporary files": (
        "import tempfile\nwith tempfile.NamedTemporaryFile(delete=True) as f:\n    f.write('text')\n    f.write(b'!')\n    f.flush()\n"
        "    print open(f.name).read()",
        "text!",
    ),
    "yaml": ("import yaml\nprint yaml.load('a: 1')", "{'a': 1}"),
    "string.maketrans": ("import string\nprint 'abc'.translate(string.maketrans('a', 'b'))", "bbc"),
    "os.getcwdu": ("import os\nprint os.getcwdu() == os.getcwd()", "True"),
    "dict.keys added": ("a, b = {'x': 1}, {'y': 2}\nprint a.items() + b.items()", "[('x', 1), ('y', 2)]"),
    "map of None": ("print map(None, [1, 2]), map(None, [1, 2], [3])", "[1, 2] [(1, 3), (2, None)]"),
    "filter of a text": ("print filter(str.isdigit, 'a1b2'), filter(None, (0, 1))", "12 (1,)"),
    "float indices by name": (
        "import numpy as np\na = np.arange(9)\nh = 4.0\nprint a[h:h + 2], a[h], np.arange(6).reshape(2., 3)[1, 0]",
        "[4 5] 4 3",
    ),
    "bounds from elsewhere": (
        "import numpy as np\ndef cut(a, box):\n    x, y = box\n    return a[y:y + 2, x:]\n"
        "print cut(np.arange(12).reshape(3, 4), np.array([2.7, 1.0]))",
        "[[ 6  7]\n [10 11]]",
    ),
    "float keys of a dict stay": ("x = 5 / 2.\nd = {x: 1}\nprint d[x]", "1"),
    "an index array of floats": ("import numpy as np\ni = np.floor([1.5, 2.5])\nprint np.arange(5)[i]", "[1 2]"),
    "encode('hex')": ("print 'ab'.encode('hex'), '6162'.decode('hex')", "6162 ab"),
    "decode of text": ("print 'abc'.decode('utf-8'), u'abc'.encode('ascii', 'ignore').decode()", "abc abc"),
    "a metaclass": (
        "class M(type):\n    x = 1\nclass C(object):\n    __metaclass__ = M\nclass D:\n    __metaclass__ = M\nprint C.x, D.x",
        "1 1",
    ),
    "round to whole floats": ("print int(round(2.5)), round(7 / 2.), round(-0.5), round(2.345, 2)", "3 4.0 -1.0 2.35"),
    "page breaks in the text": ("x = 3\n\x0c\nprint x / 2", "1"),
    "names that are not Python 2's": ("def file(x): return x\nlong = 2\nprint file(1), long", "1 2"),
}  # fmt: skip
NEEDS = {"yaml": "yaml"}


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    snippets = {name: text for name, (text, _) in CASES.items()}
    return printed_by(snippets, tmp_path_factory.mktemp("snippets"))


@pytest.mark.parametrize("name", CASES)
def test_it_prints_what_python_2_printed(name, printed):
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"needs {NEEDS[name]}")
    assert printed[name] == CASES[name][1]
