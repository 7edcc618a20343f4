import { copyFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseRecipe } from '../../src/shared/recipeFile';
import { atImages } from './chatImages';
import { temp } from './temp';

interface ImageRows {
  readonly rows: number;
  /** Default: true. */
  readonly hasImages?: boolean;
  readonly batchSize: number;
}

/** A recipe in a folder of its own, for chats that each have one image, or none. */
export async function imageRecipe({ rows, hasImages = true, batchSize }: ImageRows) {
  const folder = temp();
  await copyFile(atImages('chats', 'wide.png'), path.join(folder, 'wide.png'));
  const content = [
    ...(hasImages ? [{ type: 'image', image: 'wide.png' }] : []),
    { type: 'text', text: 'What?' },
  ];
  const messages = [
    { role: 'user', content },
    { role: 'assistant', content: 'A wide one.' },
  ];
  const line = `${JSON.stringify({ messages })}\n`;
  await writeFile(path.join(folder, 'rows.jsonl'), line.repeat(rows));
  const file = path.join(folder, 'lora.json');
  const text = JSON.stringify({
    base: atImages('base'),
    dataset: 'rows.jsonl',
    validation_split: 0,
    lora: { r: 8, target_modules: 'all-linear' },
    training: { max_length: 128, per_device_train_batch_size: batchSize },
  });
  await writeFile(file, text);
  return { file, recipe: parseRecipe(text, file) };
}
