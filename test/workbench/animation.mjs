// Records a page as an animated image.
import { existsSync, mkdirSync, mkdtempSync, renameSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { installPackages, packagesFolder } from './packages.mjs';

const FRAME_MS = 240;
const LAST_FRAME_MS = 2_500;
const WIDTH = 1_080;

/** Encodes the image. Only this script needs it, so it is installed on first use. */
function loadSharp() {
  const folder = packagesFolder('recording');
  if (!existsSync(folder)) {
    mkdirSync(path.dirname(folder), { recursive: true });
    const temp = mkdtempSync(`${folder}.install-`);
    installPackages('recording', temp);
    renameSync(temp, folder);
  }
  return createRequire(path.join(folder, 'index.js'))('sharp');
}

/**
 * Takes a screenshot of `page` every `interval` ms until `stop` is called, which writes them to
 * `file` (.webp).
 */
export function record(page, file, interval) {
  const sharp = loadSharp();
  const frames = [];
  let recording = true;
  const done = (async () => {
    while (recording) {
      const next = new Promise((resolve) => setTimeout(resolve, interval));
      frames.push(await page.screenshot());
      await next;
    }
  })();
  return {
    async stop() {
      recording = false;
      await done;
      frames.push(await page.screenshot());
      const resized = await Promise.all(
        frames.map((frame) => sharp(frame).resize({ width: WIDTH }).png().toBuffer()),
      );
      const delay = frames.map((_, i) => (i === frames.length - 1 ? LAST_FRAME_MS : FRAME_MS));
      await sharp(resized, { join: { animated: true } })
        .webp({ loop: 0, delay, quality: 40, effort: 6 })
        .toFile(file);
    },
  };
}
