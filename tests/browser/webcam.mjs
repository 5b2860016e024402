// Opens a page of `pocketgraph webcam` in headless Chromium, for test_webcam.py.
//
//   node webcam.mjs SPEC.json
//
// SPEC: {chromium, url, camera: file for Chromium's fake camera or null, frames, width, height, toggle: part or null,
// message: whether to wait for one, screenshot}. Waits until the page has drawn `frames`, then prints one JSON object:
// {frames, record, rate, pressed, painted, dark, message, errors, wide}. `painted` counts the pixels of the canvas in
// each of the overlay's colours, `dark` is the share of its pixels that are.

import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {dirname} from 'node:path';
import {fileURLToPath} from 'node:url';

const spec = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const {chromium} = createRequire(`${dirname(fileURLToPath(import.meta.url))}/x.js`)('playwright-core');

const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
if (spec.camera) {
  args.push('--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream',
      `--use-file-for-fake-video-capture=${spec.camera}`);
}
// page.waitForFunction evaluates text inside the page, which the page's policy forbids
async function until(page, condition, argument, seconds) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
    if (await page.evaluate(condition, argument)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`not in ${seconds} s: ${condition}; ${await page.evaluate(() => document.body.innerText)}`);
}

const browser = await chromium.launch({executablePath: spec.chromium, args});
try {
  const page = await browser.newPage({viewport: {width: spec.width, height: spec.height}});
  const errors = [];
  page.on('console', (message) => { if (message.type() === 'error') errors.push(message.text()); });
  page.on('pageerror', (error) => errors.push(String(error)));
  await page.goto(spec.url, {timeout: 90000});
  await until(page, (frames) => window.frames_drawn >= frames, spec.frames, 90);
  if (spec.message) await until(page, () => document.getElementById('message').textContent !== '', null, 30);
  if (spec.toggle) {
    await page.click(`button[data-part=${spec.toggle}]`);
    await until(page, (part) =>
      document.querySelector(`button[data-part=${part}]`).getAttribute('aria-pressed') === 'false', spec.toggle, 30);
    const drawn = await page.evaluate(() => window.frames_drawn);
    await until(page, (frames) => window.frames_drawn >= frames, drawn + 3, 30);
  }
  if (spec.screenshot) await page.screenshot({path: spec.screenshot});
  const seen = await page.evaluate(() => {
    const canvas = document.getElementById('canvas');
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const painted = {};
    for (const [name, hex] of Object.entries(config.colours)) {
      const colour = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
      painted[name] = 0;
      for (let i = 0; i < data.length; i += 4) {
        if (colour.every((value, channel) => Math.abs(value - data[i + channel]) < 40)) painted[name] += 1;
      }
    }
    const pressed = [...document.querySelectorAll('button')].filter((b) => b.getAttribute('aria-pressed') === 'true');
    let dark = 0;
    for (let i = 0; i < data.length; i += 4) dark += Math.max(data[i], data[i + 1], data[i + 2]) < 95;
    return {
      dark: dark * 4 / data.length, frames: window.frames_drawn, record: window.last_record ?? null, painted,
      rate: document.getElementById('rate').textContent, pressed: pressed.map((b) => b.dataset.part),
      message: document.getElementById('message').textContent,
      wide: document.documentElement.scrollWidth > innerWidth,
    };
  });
  console.log(JSON.stringify({...seen, errors}));
} finally {
  await browser.close();
}
