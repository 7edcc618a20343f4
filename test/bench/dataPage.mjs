// node test/bench/dataPage.mjs [ROWS]: how long the Data page takes to show the first rows of a
// large dataset, to count all, and how many frames a second it draws while it is scrolled. By hand.
import { createWriteStream } from 'node:fs';
import { loadavg } from 'node:os';
import path from 'node:path';
import { once } from 'node:events';
import { processorSeconds } from './processorTime.mjs';
import { startDataHost } from '../workbench/pages/dataHost.mjs';
import { startPages } from '../workbench/pages/openPage.mjs';

const ROWS = Number(process.argv[2] ?? 1_000_000);
const SCROLLED_MS = 5_000;

/** Chats of about 200 bytes, none the same as another. */
async function writeRows(file) {
  const stream = createWriteStream(file);
  for (let row = 0; row < ROWS; row++) {
    const messages = [
      { role: 'user', content: `How much is ${row} times ${(row * 7919) % 10007}?` },
      { role: 'assistant', content: `It is ${row * ((row * 7919) % 10007)}, as can be checked.` },
    ];
    if (!stream.write(`${JSON.stringify({ messages })}\n`)) await once(stream, 'drain');
  }
  stream.end();
  await once(stream, 'finish');
}

/** Runs in the page: scrolls by the wheel's steps, and counts frames. */
const scroll = (ms) =>
  new Promise((resolve) => {
    const grid = document.getElementById('grid');
    const gaps = [];
    const start = performance.now();
    let last = start;
    const frame = (now) => {
      gaps.push(now - last);
      last = now;
      grid.scrollTop += 60;
      if (now - start < ms) window.requestAnimationFrame(frame);
      else resolve(gaps.slice(1));
    };
    window.requestAnimationFrame(frame);
  });

const host = await startDataHost();
const pages = await startPages('data', { file: '/data/train.jsonl', recipe: '', base: '' });
try {
  const file = path.join(host.folder, 'train.jsonl');
  await writeRows(file);
  const { page } = await pages.open();
  const worked = processorSeconds();
  const start = performance.now();
  const { ask } = await host.serve(page, file);
  await page.locator('.row .number').first().waitFor();
  const opened = performance.now() - start;
  const work = 1000 * (processorSeconds() - worked);
  while ((await ask('dataProgress')).counts.all === null)
    await new Promise((resolve) => setTimeout(resolve, 50));
  const counted = performance.now() - start;
  const gaps = await page.evaluate(scroll, SCROLLED_MS);
  gaps.sort((a, b) => a - b);
  const seconds = gaps.reduce((sum, gap) => sum + gap, 0) / 1000;
  console.log(`rows: ${ROWS}, load ${loadavg()[0].toFixed(1)}`);
  console.log(
    `first rows shown: ${opened.toFixed(0)} ms, with the browser ${work.toFixed(0)} ms of the ` +
      `processor; all counted: ${counted.toFixed(0)} ms`,
  );
  console.log(
    `scrolled while rows are read: ${(gaps.length / seconds).toFixed(1)} frames a second, ` +
      `median ${gaps[gaps.length >> 1].toFixed(1)} ms, 95% ${gaps[Math.floor(0.95 * gaps.length)].toFixed(1)} ms`,
  );
} finally {
  await pages.close();
  await host.close();
}
