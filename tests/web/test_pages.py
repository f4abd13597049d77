"""The pages in a real browser: opened, clicked through, and compared with what the server says."""

from __future__ import annotations

import json

import pytest
from support_assets import assets

import caffe
from caffe.models.definitions import definition
from caffe.web import documents, embedding, hosting, page, server

pytest.importorskip("starlette", reason="needs starlette")


@pytest.fixture
def serve():
    stops = []

    def start(paths, **options):
        found = documents.collect([str(p) for p in paths], documents.Options(**options))
        url, stop = hosting.in_background(server.application(server.Site(lambda: found, lambda _: None)))
        stops.append(stop)
        return url, [d.json() for d in found]

    yield start
    for stop in stops:
        stop()


@pytest.fixture
def googlenet(tmp_path):
    path = tmp_path / "deploy.prototxt"
    path.write_text(str(definition("bvlc_googlenet").deploy))
    return path


def test_graph_folds_opens_and_finds(browser, serve, googlenet):
    url, (net,) = serve([googlenet])
    browser.open(url)
    assert int(browser.run("return document.querySelectorAll('.node').length")) == len(net["units"])
    assert f"{net['totals']['count']:,}" in browser.text()
    assert f"{net['totals']['multiply_adds']:,}" in browser.text()
    browser.click("Fold all")
    folded = int(browser.run("return document.querySelectorAll('.node').length"))
    assert folded < 30
    browser.run("document.querySelector('.search input').focus()")
    layer = next(
        layer for layer in net["layers"] if layer["type"] == "Convolution" and layer["field"]["size"][0] > 100
    )
    box = browser.run("return document.querySelector('.search input')")
    box.send_keys(layer["name"] + "\n")
    browser.wait(
        "return document.querySelector('.details h2').textContent.includes(arguments[0])".replace(
            "arguments[0]", json.dumps(layer["name"])
        )
    )
    (shape,) = layer["shapes"].values()
    text = browser.text()
    assert " × ".join(map(str, shape)) in text and f"{layer['count']:,}" in text
    assert browser.run("return document.querySelectorAll('.node').length") > folded  # its block is open now
    before = browser.run("return document.querySelector('.node.selected').dataset.id")
    browser.run("return document.activeElement").send_keys("\ue015")  # arrow down
    assert browser.run("return document.querySelector('.node.selected').dataset.id") != before
    browser.run(
        "let s = document.querySelector('select'); s.value = 'multiply_adds'; s.dispatchEvent(new Event('change'))"
    )
    assert browser.run("return document.querySelectorAll('.node.heat').length") > folded
    browser.click("Table")
    assert browser.run("return document.querySelectorAll('table.layers tbody tr').length") == len(
        net["layers"]
    )
    assert browser.complaints() == []


def test_editor_shows_mistakes_at_their_line(browser, serve, tmp_path):
    path = tmp_path / "lenet.prototxt"
    path.write_text(str(definition("lenet").deploy))
    url, _ = serve([path])
    browser.open(url)
    browser.click("Editor")
    browser.run(
        "let a = document.querySelector('textarea');"
        "a.value = a.value.replace('bottom: \"pool1\"', 'bottom: \"poll1\"');"
        "a.dispatchEvent(new Event('input'))"
    )
    browser.wait("return document.querySelector('.said .problem') !== null")
    assert "poll1" in browser.run("return document.querySelector('.said').innerText")
    assert "1 problem" in browser.text()
    assert browser.run("return document.querySelectorAll('.mark').length") == 1
    assert browser.run("return document.querySelectorAll('.node.bad').length") == 1
    browser.click("Undo all edits")
    browser.wait("return document.querySelector('.said .fine') !== null")
    assert browser.run("return document.querySelectorAll('.node.bad').length") == 0
    assert browser.complaints() == []


def test_page_in_one_file(browser, tmp_path, googlenet):
    found = documents.collect([str(googlenet)], documents.Options())
    out = tmp_path / "page.html"
    out.write_text(page.whole(embedding.embedded(found)), encoding="utf-8")
    assert out.stat().st_size < 2_000_000
    browser.open(out.as_uri())
    assert browser.run("return document.querySelectorAll('.node').length") > 80
    assert browser.complaints() == []


def test_resnet_152_is_laid_out_within_two_seconds(browser, serve, tmp_path):
    path = tmp_path / "resnet.prototxt"
    path.write_text(str(definition("resnet_152").deploy))
    url, (net,) = serve([path])
    assert len(net["layers"]) > 500
    browser.open(url)
    assert float(browser.run("return document.querySelector('.graph-box').dataset.layoutMs")) < 2000
    assert browser.run("return document.querySelectorAll('.node').length") < 100
    browser.click("Unfold all")
    assert browser.run("return document.querySelectorAll('.node').length") == len(net["units"])
    assert browser.complaints() == []


def test_net_view_in_a_notebook(browser, tmp_path):
    net = caffe.Net(definition("lenet").deploy, caffe.TEST)
    out = tmp_path / "cell.html"
    out.write_text(f"<!doctype html><meta charset=utf-8>{net.view()._repr_html_()}", encoding="utf-8")
    browser.driver.get(out.as_uri())
    browser.driver.switch_to.frame(0)
    browser.wait("return document.querySelectorAll('.node').length === 8")
    assert f"{sum(b.count for p in net.params.values() for b in p):,}" in browser.text()
    browser.driver.switch_to.default_content()
    assert browser.complaints() == []


def test_photo_through_squeezenet(browser, serve):
    folder = assets("models", "squeezenet_v1.0_deepcompression")
    url, (net,) = serve(
        [folder / "deploy.prototxt", folder / "weights.caffemodel"],
        image=str(assets("photos", "cat.jpg")),
        labels=assets("labels", "synset_words.txt").read_text().splitlines(),
    )
    browser.open(url)
    browser.click("Photo")
    best = net["photo"]["top"][0]
    assert best["label"] in browser.text() and f"{best['score']:.5g}" in browser.text()
    browser.wait("return document.querySelectorAll('.maps img').length === 2")
    browser.click("Graph")
    browser.run(
        "document.querySelector('.node[data-id=u1]').dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    browser.wait("return document.querySelectorAll('.details img.pixels').length >= 2")
    assert browser.complaints() == []
