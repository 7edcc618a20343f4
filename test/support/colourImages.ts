import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { encode } from 'fast-png';
import { tempFolder } from './commandLine';

export const COLOURS = ['red', 'green', 'blue'];

/** Rows of images with texts, and the images. */
export function captionedRows(): string {
  const folder = tempFolder();
  colourFolder(path.join(folder, 'colours'));
  const rows = Array.from({ length: 24 }, (_, i) => ({
    image: `colours/${COLOURS[i % 3]!}/${Math.floor(i / 3)}.png`,
    text: `something ${COLOURS[i % 3]!}`,
  }));
  const file = path.join(folder, 'rows.jsonl');
  writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return file;
}

/** A folder of images of one colour and some noise, of several sizes. */
export function colourFolder(folder: string): string {
  COLOURS.forEach((colour, c) => {
    mkdirSync(path.join(folder, colour), { recursive: true });
    for (let i = 0; i < 8; i++) {
      const [width, height] = [20 + i, 18 + 2 * i];
      const data = Uint8Array.from(
        { length: width * height * 3 },
        (_, k) => (k % 3 === c ? 200 : 40) + ((k * 7 + i * 31) % 50),
      );
      writeFileSync(
        path.join(folder, colour, `${i}.png`),
        encode({ width, height, data, channels: 3, depth: 8 }),
      );
    }
  });
  return folder;
}
