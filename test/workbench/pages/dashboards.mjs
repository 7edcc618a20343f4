// Dashboards of canned runs, for the tests of their page.
import assert from 'node:assert/strict';
import { startPages } from './openPage.mjs';
import { sendRun } from './sendRun.mjs';

/** The charts of every run, and a colour of each. */
export const charts = {
  loss: 'blue',
  learning_rate: 'red',
  grad_norm: 'green',
  tokens_per_second: 'blue',
  memory: 'purple',
};

export const startDashboards = () => startPages('dashboard', { 'run-dir': '/runs/tiny' });

/** The page of a canned run. */
export async function openRun(dashboards, run, options) {
  const dashboard = await dashboards.open(options);
  await dashboard.page.evaluate(sendRun, run);
  await dashboard.page.locator('h1').waitFor();
  return dashboard;
}

/** Charts are drawn at most every 100 ms. */
export const frames = (page) =>
  page.evaluate(
    () =>
      new Promise((done) => {
        setTimeout(
          () => window.requestAnimationFrame(() => window.requestAnimationFrame(done)),
          150,
        );
      }),
  );

/**
 * Goes to a chart, as one that is far off the screen is drawn when it comes near, and waits until
 * its canvas shows one of the theme's chart colours.
 */
export async function drawnIn(page, id, colour) {
  await page.locator(`.chart-${id}`).scrollIntoViewIfNeeded();
  await page
    .waitForFunction(
      ([chart, name]) => {
        const wanted = getComputedStyle(document.body)
          .getPropertyValue(`--vscode-charts-${name}`)
          .match(/\w\w/g)
          .map((hex) => parseInt(hex, 16));
        const canvas = document.querySelector(`.chart-${chart} canvas`);
        if (canvas.width * canvas.height === 0) return false;
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        for (let i = 0; i < data.length; i += 4)
          if (data[i + 3] > 200 && wanted.every((value, c) => Math.abs(value - data[i + c]) <= 2))
            return true;
        return false;
      },
      [id, colour],
      { polling: 100 },
    )
    .catch(() => assert.fail(`${id} is not drawn in ${colour}`));
}
