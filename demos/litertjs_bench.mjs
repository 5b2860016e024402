// Runs .tflite models in LiteRT.js (wasm) inside headless Chromium, for demos/litertjs_bench.py and the browser tests.
//
//   node litertjs_bench.mjs SPEC.json
//
// SPEC: {packages, chromium, models: [{path, inputs: [file], outputs: folder}], warmup, rounds, threads}
// `packages` is a folder with node_modules of @litertjs/core and playwright-core. Inputs are raw little-endian files in
// the order of the model's inputs; each output is written to `outputs`/N.bin the same way. Prints one JSON object:
// {chromium, litertjs, models: [{outputs: [{name, dtype, shape}], milliseconds: [...], log: [...], error}]}.
// Timed runs are interleaved: round 1 of every model, round 2 of every model, and so on.

import {createReadStream, mkdirSync, readFileSync, writeFileSync} from 'node:fs';
import {createServer} from 'node:http';
import {createRequire} from 'node:module';
import {extname, join, normalize} from 'node:path';

const spec = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const packages = join(spec.packages, 'node_modules');
const {chromium} = createRequire(join(packages, 'x.js'))('playwright-core');

const PAGE = `<!doctype html><meta charset="utf-8"><title>LiteRT.js</title>
<script type="importmap">{"imports": {
  "@litertjs/core": "/packages/@litertjs/core/dist/index.js",
  "@litertjs/wasm-utils": "/packages/@litertjs/wasm-utils/dist/index.js"}}</script>
<script type="module">
import {loadAndCompile, loadLiteRt, Tensor} from '@litertjs/core';

const models = [];
const arrays = {float32: Float32Array, int32: Int32Array, uint8: Uint8Array, int8: Int8Array};

window.start = (threads) => loadLiteRt('/packages/@litertjs/core/wasm/', {threads}).then(() => true);

window.load = async (number, inputCount) => {
  const model = await loadAndCompile('/model/' + number, {accelerator: 'wasm'});
  const inputs = [];
  for (const [i, detail] of model.getInputDetails().entries()) {
    if (i >= inputCount) throw new Error('the model has more inputs than were given');
    const bytes = await (await fetch('/input/' + number + '/' + i)).arrayBuffer();
    inputs.push(new Tensor(new arrays[detail.dtype](bytes), Array.from(detail.shape)));
  }
  models[number] = {model, inputs};
};

window.once = async (number) => {
  const {model, inputs} = models[number];
  const before = performance.now();
  const results = await model.run(inputs);
  const taken = performance.now() - before;
  for (const result of results) result.delete();
  return taken;
};

window.outputs = async (number) => {
  const {model, inputs} = models[number];
  const details = model.getOutputDetails();
  const results = await model.run(inputs);
  return Promise.all(results.map(async (result, i) => {
    const data = result.toTypedArray();
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    let text = '';
    for (let at = 0; at < bytes.length; at += 32768) {
      text += String.fromCharCode(...bytes.subarray(at, at + 32768));
    }
    result.delete();
    return {name: details[i].name, dtype: details[i].dtype, shape: Array.from(details[i].shape), data: btoa(text)};
  }));
};
window.ready = true;
</script>`;

const TYPES = {'.js': 'text/javascript', '.wasm': 'application/wasm', '.json': 'application/json'};

function serve(request, response) {
  const path = normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname));
  // cross-origin isolation: threads and fine-grained timers
  const headers = {'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp'};
  const send = (file, type) => createReadStream(file)
      .on('open', () => response.writeHead(200, {...headers, 'Content-Type': type}))
      .on('error', () => response.writeHead(404).end())
      .pipe(response);
  const [, kind, number, place] = path.split('/');
  if (path === '/') {
    response.writeHead(200, {...headers, 'Content-Type': 'text/html'}).end(PAGE);
  } else if (kind === 'model') {
    send(spec.models[number].path, 'application/octet-stream');
  } else if (kind === 'input') {
    send(spec.models[number].inputs[place], 'application/octet-stream');
  } else if (kind === 'packages' && !path.includes('..')) {
    send(join(packages, path.slice('/packages/'.length)), TYPES[extname(path)] ?? 'application/octet-stream');
  } else {
    response.writeHead(404).end();
  }
}

const server = createServer(serve).listen(0, '127.0.0.1');
await new Promise((resolve) => server.once('listening', resolve));
const browser = await chromium.launch({
  executablePath: spec.chromium,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
try {
  const page = await browser.newPage();
  let log = [];
  page.on('console', (message) => log.push(message.text()));
  page.on('pageerror', (error) => log.push(String(error)));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction('window.ready', null, {timeout: 60000});
  await page.evaluate((threads) => window.start(threads), (spec.threads ?? 1) > 1);
  const results = [];
  for (const [number, model] of spec.models.entries()) {
    log = [];
    const result = {outputs: [], milliseconds: [], log, error: null};
    results.push(result);
    try {
      await page.evaluate(([n, count]) => window.load(n, count), [number, model.inputs.length]);
      const outputs = await page.evaluate((n) => window.outputs(n), number);
      mkdirSync(model.outputs, {recursive: true});
      for (const [i, {data, ...about}] of outputs.entries()) {
        writeFileSync(join(model.outputs, `${i}.bin`), Buffer.from(data, 'base64'));
        result.outputs.push(about);
      }
    } catch (error) {
      result.error = String(error);
    }
  }
  for (let round = -(spec.warmup ?? 0); round < (spec.rounds ?? 0); round++) {
    for (const [number, result] of results.entries()) {
      if (result.error === null) {
        const taken = await page.evaluate((n) => window.once(n), number);
        if (round >= 0) result.milliseconds.push(taken);
      }
    }
  }
  const about = JSON.parse(readFileSync(join(packages, '@litertjs/core/package.json'), 'utf8'));
  console.log(JSON.stringify({chromium: browser.version(), litertjs: about.version, models: results}));
} finally {
  await browser.close();
  server.close();
}
