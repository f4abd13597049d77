"""Notebooks of old: run, explained, written; cells with magics and commands; tracebacks with the cell's lines."""

from __future__ import annotations

import pytest

from caffe.cli.run import main

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

CELLS = [
    "%matplotlib inline\nimport numpy as np\nprint 'a', 7 / 2",
    "x = {'k': np.float(3)}\nfor k, v in x.iteritems():\n    print k, v,",
    "lines = !echo one\nprint lines[0]\n!echo two $k",
    "import beside\nbeside.f(xrange(2))",
    "# two years\nprint 'before'\nraise ValueError, 'of the user'  # as written",
    "print 'never'",
]


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    def write(cells, version="3.11.0"):
        made = nbformat.v4.new_notebook(metadata={"language_info": {"name": "python", "version": version}})
        made.cells = [nbformat.v4.new_code_cell(c) for c in cells]
        nbformat.write(made, tmp_path / "old.ipynb")

    (tmp_path / "beside.py").write_text("def f(x):\n    print list(x), 9 / 2\n")
    monkeypatch.chdir(tmp_path)
    return write


def outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    texts = ["".join(o.get("text", "") for o in c.outputs if o.output_type == "stream") for c in cells]
    return [t.replace("\r\n", "\n") for t in texts], cells  # the shell's lines come by way of a terminal


def test_a_notebook_runs_to_the_cell_that_fails(notebook, tmp_path, capsys):
    notebook(CELLS)
    before = (tmp_path / "old.ipynb").read_bytes()
    assert main(["old.ipynb"]) == 1
    printed, cells = outputs(tmp_path / "old_run.ipynb")
    assert printed[:5] == ["a 3\n", "k 3.0 ", "one\ntwo k\n", "[0, 1] 4\n", "before\n"]
    assert cells[5].execution_count is None
    [error] = [o for o in cells[4].outputs if o.output_type == "error"]
    traceback = "\n".join(error.traceback)
    assert error.ename == "ValueError" and "of the user" in error.evalue
    assert "# as written" in traceback and "raise ValueError(" not in traceback
    told = capsys.readouterr()
    assert "cell 5 of 6: ValueError: of the user" in told.err and "wrote old_run.ipynb" in told.out
    assert (tmp_path / "old.ipynb").read_bytes() == before
    assert main(["old.ipynb"]) == 1
    assert "exists already" in capsys.readouterr().err


def test_a_notebook_as_a_page(notebook, tmp_path):
    pytest.importorskip("nbconvert")
    notebook(["print 'in the page', 1 / 2"])
    assert (
        main(["old.ipynb", "--to=html", "--output", "other.html"]) == 0
        and (tmp_path / "other.html").is_file()
    )
    assert main(["old.ipynb", "--to=html"]) == 0
    page = (tmp_path / "old_run.html").read_text(encoding="utf-8")
    assert "in the page 0" in page and "print" in page


def test_explain_names_cells(notebook, tmp_path, capsys):
    notebook(["x = 7 / 2", "x / 2"], version="2.7.11")
    assert main(["--explain", "old.ipynb"]) == 0
    told = capsys.readouterr().out
    assert "old.ipynb, cell 2: line 1: / of integers is //" in told and "2 lines would be changed" in told
    assert not (tmp_path / "old_run.ipynb").exists()


def test_a_damaged_notebook_is_told(tmp_path, capsys):
    (tmp_path / "no.ipynb").write_text("{}")
    assert main([str(tmp_path / "no.ipynb")]) == 1
    assert "This is no notebook" in capsys.readouterr().err


def test_load_ext_in_a_notebook(notebook, tmp_path):
    from nbclient import NotebookClient

    notebook([])
    made = nbformat.v4.new_notebook()
    sources = [
        "%load_ext caffe",
        "print 'x', 7 / 2",
        "import caffe.legacy\ncaffe.legacy.install(explain=True)",
        "print 'y'",
    ]
    made.cells = [nbformat.v4.new_code_cell(c) for c in sources]
    NotebookClient(made, timeout=100, kernel_name="python3").execute()
    texts = ["".join(o.get("text", "") for o in c.outputs) for c in made.cells]
    assert texts[1] == "x 3\n"
    assert texts[3] == "line 1: print is a function\n    - print 'y'\n    + print('y')\ny\n"


def test_ipythons_lines_are_left_to_it():
    from caffe.legacy.cells import translate_cell

    text = "% matplotlib inline\n!ls -l \\\n   x\nprint 'a'\nnet?\n!./build/tools/caffe time\n"
    lines = translate_cell(text).text.splitlines()
    assert lines[:5] == ["%matplotlib inline", "!ls -l \\", "   x", "print('a')", "net?"]
    assert lines[5].endswith("-m caffe time") and lines[5].startswith("!")
    assert translate_cell("%%bash\nprint 'x'\n").text == "%%bash\nprint 'x'\n"
