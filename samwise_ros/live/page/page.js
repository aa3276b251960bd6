// One connection: the robot sends the state (JSON) and pictures (camera, number, JPEG); the page says
// which pictures it has shown, and what was commanded.
"use strict";

const SILENCE = 3000; // ms after which the page says that it is blind; the robot speaks every second
const RETRY = 1500; // ms
const CLICK = 6; // pixels that a pointer may move in a click
const HISTORY = 120; // points of a curve, one each half second
const tiles = []; // one per camera, in the robot's order
const byId = (id) => document.getElementById(id);
let socket = null;
let heard = 0;

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => {
    heard = performance.now();
    if (typeof data !== "string") return showPicture(data);
    const message = JSON.parse(data);
    if (message.cameras) showState(message.cameras);
    else showReply(message);
  };
  socket.onclose = ({ reason }) => {
    setLink("error", reason || "not connected; trying again");
    markStale(true);
    setTimeout(connect, RETRY);
  };
}

function setLink(level, text) {
  const link = byId("link");
  link.dataset.level = level;
  if (link.textContent !== text) link.textContent = text;
}

function markStale(stale) {
  for (const tile of tiles) tile.root.classList.toggle("stale", stale || tile.level === "idle");
}

setInterval(() => {
  if (socket.readyState !== WebSocket.OPEN) return;
  const silent = performance.now() - heard > SILENCE;
  setLink(silent ? "error" : "ok", silent ? "nothing heard from the robot" : "live");
  markStale(silent);
}, 500);

// Pictures

async function showPicture(data) {
  const header = new DataView(data);
  const camera = header.getUint8(0), number = header.getUint32(1);
  const from = socket;
  const bitmap = await createImageBitmap(new Blob([new Uint8Array(data, 5)], { type: "image/jpeg" }));
  // A page that nobody sees is given no frames to draw, and so asks for no more pictures.
  requestAnimationFrame(() => {
    const canvas = tiles[camera].canvas;
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
    }
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
    canvas.dataset.number = number;
    tiles[camera].waiting.hidden = true;
    if (from.readyState === WebSocket.OPEN) from.send(JSON.stringify({ seen: camera }));
  });
}

// State

function makeTile(name) {
  const root = byId("tile").content.firstElementChild.cloneNode(true);
  const find = (selector) => root.querySelector(selector);
  byId("cameras").append(root);
  const tile = {
    root, name, size: null, drag: find(".drag"), canvas: find("canvas"), waiting: find(".waiting"), title: find("h2"),
    status: find(".status"), chips: find(".targets"), lines: root.querySelectorAll("polyline"),
    latency: find("span.latency"), rate: find("span.rate"), shown: new Map(), points: [], level: "",
  };
  listenToPointer(tile);
  return tile;
}

function showState(cameras) {
  if (tiles.length !== cameras.length || cameras.some(({ name }, i) => name !== tiles[i].name)) {
    for (const tile of tiles.splice(0)) tile.root.remove();
    tiles.push(...cameras.map(({ name }) => makeTile(name)));
    byId("cameras").dataset.count = cameras.length;
    const choice = byId("camera");
    choice.replaceChildren(new Option("all cameras", ""),
      ...cameras.map(({ name }) => new Option(name, name)));
    choice.hidden = cameras.length < 2;
  }
  cameras.forEach((camera, i) => showCamera(tiles[i], camera));
}

function showCamera(tile, camera) {
  tile.title.textContent = camera.name || "camera";
  tile.size = camera.size;
  tile.level = tile.status.dataset.level = camera.level;
  if (tile.status.textContent !== camera.status) tile.status.textContent = camera.status;
  tile.latency.textContent = camera.latency === null ? "" : `${camera.latency.toFixed(0)} ms`;
  tile.rate.textContent = `${camera.rate.toFixed(1)} /s`;
  tile.canvas.setAttribute("aria-label", [camera.name || "camera picture",
    ...camera.targets.map((t) => `${t.expression}: ${t.state}`)].join(", "));
  remember(tile, camera);
  showChips(tile, camera.targets);
}

function remember(tile, { latency, rate }) {
  const slot = Math.floor(performance.now() / 500);
  if (tile.slot !== slot) tile.points.push({ latency: 0, rate: 0 });
  tile.slot = slot;
  const point = tile.points.at(-1);
  point.latency = Math.max(point.latency, latency ?? 0);
  point.rate = rate;
  tile.points.splice(0, tile.points.length - HISTORY);
  ["latency", "rate"].forEach((name, i) => {
    const highest = Math.max(...tile.points.map((p) => p[name]), 1e-9);
    tile.lines[i].setAttribute("points", tile.points.map((p, at) =>
      `${120 - tile.points.length + at},${(28 - 26 * p[name] / highest).toFixed(1)}`).join(" "));
  });
}

// Chips stay the same elements while their target does: the one that has the focus keeps it.
function showChips(tile, targets) {
  const wanted = new Set(targets.map(({ id }) => id));
  for (const [id, chip] of tile.shown) {
    if (wanted.has(id)) continue;
    if (chip.contains(document.activeElement)) byId("sentence").focus();
    chip.remove();
    tile.shown.delete(id);
  }
  for (const target of targets) {
    let chip = tile.shown.get(target.id);
    if (!chip) {
      chip = byId("chip").content.firstElementChild.cloneNode(true);
      chip.querySelector("button").onclick = () => send(tile.name, `remove:${target.id}`);
      tile.chips.append(chip);
      tile.shown.set(target.id, chip);
    }
    const [sentence, state, small] = chip.querySelector(".words").children;
    if (chip.dataset.state !== target.state) {
      byId("announced").textContent = `${target.expression}: ${target.state.toLowerCase()}`;
    }
    chip.dataset.state = target.state;
    chip.dataset.id = target.id;
    chip.querySelector(".swatch").style.backgroundColor = target.colour;
    chip.querySelector("button").setAttribute("aria-label", `Remove ${target.expression}`);
    sentence.textContent = sentence.title = target.expression;
    state.textContent = target.state;
    small.textContent = `${target.id} \u00b7 score ${target.score.toFixed(2)} \u00b7 ` +
      `${target.age + 1} pictures`;
  }
}

// Showing: a click is a point on the target, dragging a box around it.

function listenToPointer(tile) {
  let begin = null; // where and on which picture
  const isBox = (event) => Math.hypot(event.clientX - begin.x, event.clientY - begin.y) > CLICK;
  tile.canvas.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button !== 0 || !tile.canvas.dataset.number || !tile.size) return;
    begin = { x: event.clientX, y: event.clientY, picture: Number(tile.canvas.dataset.number) };
    tile.canvas.setPointerCapture(event.pointerId);
  });
  tile.canvas.addEventListener("pointermove", (event) => {
    if (!begin) return;
    const around = tile.canvas.parentElement.getBoundingClientRect();
    tile.drag.hidden = !isBox(event);
    Object.assign(tile.drag.style, {
      left: `${Math.min(begin.x, event.clientX) - around.left}px`,
      top: `${Math.min(begin.y, event.clientY) - around.top}px`,
      width: `${Math.abs(begin.x - event.clientX)}px`, height: `${Math.abs(begin.y - event.clientY)}px`,
    });
  });
  const end = (event) => {
    if (!begin || !event.isPrimary) return;
    const [x0, y0] = toCamera(tile, begin.x, begin.y);
    const [x1, y1] = toCamera(tile, event.clientX, event.clientY);
    if (event.type === "pointerup") {
      show(tile, begin.picture, event.shiftKey, isBox(event)
        ? { box: [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)] }
        : { point: [x0, y0] });
    }
    begin = null;
    tile.drag.hidden = true;
  };
  tile.canvas.addEventListener("pointerup", end);
  tile.canvas.addEventListener("pointercancel", end);
}

// Pixels of the camera's image, which the canvas shows smaller and perhaps with margins.
function toCamera({ canvas, size }, x, y) {
  const box = canvas.getBoundingClientRect();
  const scale = Math.min(box.width / canvas.width, box.height / canvas.height);
  return [[x, box.left, box.width, canvas.width, size[0]], [y, box.top, box.height, canvas.height, size[1]]]
    .map(([at, from, side, drawn, pixels]) => {
      const share = (at - from - (side - drawn * scale) / 2) / (drawn * scale);
      return Math.min(Math.max(share * pixels - 0.5, 0), pixels - 1);
    });
}

function show(tile, picture, added, what) {
  const said = byId("sentence").value;
  const named = /^\s*add\s*:([^:]*):(.*)$/is.exec(said); // with an id of one's own
  const text = (named ? named[2] : said).trim();
  const id = named ? named[1] : added ? freshId(text || "object") : "";
  transmit({ camera: tile.name, picture, text, id, ...what });
}

// Commands

function send(camera, text) {
  transmit({ camera, text });
}

function transmit(message) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  else showReply({ refused: "not connected: the command was not sent" });
}

function showReply({ accepted, refused }) {
  const reply = byId("reply");
  reply.dataset.level = refused === undefined ? "ok" : "error";
  reply.textContent = refused === undefined ? accepted : `refused: ${refused}`;
  if (refused === undefined) byId("sentence").select();
}

// "the red mug" is added as mug; a second one as mug2.
function freshId(sentence) {
  const words = sentence.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? ["target"];
  const name = words.at(-1).slice(0, 20);
  const taken = new Set(tiles.flatMap((tile) => [...tile.shown.keys()]));
  let id = name;
  for (let count = 2; taken.has(id); count += 1) id = `${name}${count}`;
  return id;
}

function find() {
  send(byId("camera").value, byId("sentence").value);
}

function add() {
  const sentence = byId("sentence").value;
  const said = /^\s*(add|remove)\s*:/i.test(sentence); // with an id of one's own
  send(byId("camera").value, said ? sentence : `add:${freshId(sentence)}: ${sentence}`);
}

byId("command").addEventListener("submit", (event) => {
  event.preventDefault();
  // An empty field is no wish to stop: the parser takes it for one.
  if (byId("sentence").value.trim()) find();
});
byId("add").onclick = add;
byId("stop").onclick = () => send(byId("camera").value, "stop");
document.addEventListener("keydown", (event) => {
  // Esc also closes the list of cameras and the window of an input method.
  if (event.isComposing || event.target.id === "camera") return;
  if (event.key === "Escape") send(byId("camera").value, "stop");
  if (event.key === "Enter" && event.shiftKey && event.target.id === "sentence") {
    event.preventDefault();
    add();
  }
});
connect();
