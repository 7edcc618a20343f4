// npm run bench:overlay: overlays 20 runs of 100,000 steps in a browser, while new steps arrive and
// the pointer moves. Prints the frames per second.
import { sendRun } from '../workbench/pages/sendRun.mjs';
import { startPages } from '../workbench/pages/openPage.mjs';

const [RUNS, STEPS, SECONDS] = [20, 100_000, 6];
const dirs = Array.from({ length: RUNS }, (_, i) => `/runs/r${i}`);

const pages = await startPages('overlay', { subject: JSON.stringify({ kind: 'runs', dirs }) });
const { page, errors } = await pages.open({
  state: { subject: { kind: 'runs', dirs }, quantity: 'smoothed' },
});
await page.evaluate(
  (runs) =>
    window.postMessage({ kind: 'runs', title: 'Bench', sweep: null, waiting: 0, runs }, '*'),
  dirs.map((dir, i) => ({ dir, name: `run ${i}` })),
);
const started = performance.now();
for (const [i, dir] of dirs.entries())
  await page.evaluate(sendRun, { steps: STEPS, dir, r: i + 1, above: i / 20, evaluations: false });
await page.waitForFunction(
  (count) =>
    document.querySelectorAll('.runs tbody tr').length === count &&
    !document.querySelector('.plot.no-values'),
  RUNS,
  { timeout: 120_000 },
);
console.log(
  `${RUNS} runs of ${STEPS.toLocaleString('en')} steps are shown after ${((performance.now() - started) / 1000).toFixed(1)} s (making them up included)`,
);

/** Frames per second while `act` runs, and the longest frame. */
async function frames(what, act) {
  await page.evaluate(() => {
    window.times = [];
    const tick = (now) => {
      window.times.push(now);
      window.ticking = window.requestAnimationFrame(tick);
    };
    window.ticking = window.requestAnimationFrame(tick);
  });
  for (const end = Date.now() + SECONDS * 1000, begun = Date.now(); Date.now() < end;)
    await act((Date.now() - begun) / 1000);
  const { count, worst, seconds } = await page.evaluate(() => {
    window.cancelAnimationFrame(window.ticking);
    const gaps = window.times.slice(1).map((time, i) => time - window.times[i]);
    return {
      count: gaps.length,
      worst: Math.max(...gaps),
      seconds: (window.times.at(-1) - window.times[0]) / 1000,
    };
  });
  console.log(
    `${what}: ${(count / seconds).toFixed(0)} frames a second, the longest ${worst.toFixed(0)} ms`,
  );
}

const box = await page.locator('.plot canvas').boundingBox();
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let step = STEPS;
const append = () =>
  page
    .evaluate(
      ([all, from]) => {
        for (const dir of all)
          window.postMessage(
            {
              kind: 'of',
              dir,
              message: {
                kind: 'append',
                lines: Array.from({ length: 5 }, (_, i) => window.stepLine(from + i + 1)),
              },
            },
            '*',
          );
      },
      [dirs, step],
    )
    .then(() => {
      step += 5;
    });
const move = (seconds) =>
  page.mouse.move(
    box.x + box.width * (0.1 + 0.8 * Math.abs(Math.sin(seconds))),
    box.y + box.height / 2,
  );
await frames('at rest', () => pause(100));
await frames('while the pointer moves', async (seconds) => {
  await move(seconds);
  await pause(16);
});
await frames('while five steps a run come in ten times a second', async () => {
  await append();
  await pause(100);
});
await frames('with both', async (seconds) => {
  await move(seconds);
  await append();
  await pause(100);
});
if (errors.length > 0) console.error(errors);
await pages.close();
