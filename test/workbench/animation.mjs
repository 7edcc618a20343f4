// Records a page as an animated image.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import path from 'node:path';

/** Encodes the image. Only this script needs it, so it is installed on first use. */
const SHARP = 'sharp@0.35.5';
const FRAME_MS = 120;
const LAST_FRAME_MS = 2_500;
const WIDTH = 1_080;

function loadSharp() {
  const folder = path.join(homedir(), '.cache', 'lora-workbench', 'sharp');
  if (!existsSync(path.join(folder, 'node_modules', 'sharp'))) {
    mkdirSync(folder, { recursive: true });
    const { status } = spawnSync('npm', ['install', '--prefix', folder, '--save-exact', SHARP], {
      stdio: 'inherit',
    });
    if (status !== 0) throw new Error(`npm could not install ${SHARP}.`);
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
        .webp({ loop: 0, delay, quality: 70, effort: 5 })
        .toFile(file);
    },
  };
}
