import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { openBase } from '../../src/formats/openBase';
import { writeSafetensors } from '../../src/formats/safetensors/write';
import type { TensorToWrite } from '../../src/formats/tensorWriter';

/** Writes a .gguf base as a folder whose weights, dequantized, are bf16. */
export async function writeHalfBase(file: string, folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const base = await openBase(file);
  try {
    const write = (name: string, value: object) =>
      writeFileSync(path.join(folder, name), JSON.stringify(value));
    const { tokenizer, config, chat_template } = await base.readTokenizer();
    write('config.json', base.config);
    write('tokenizer.json', tokenizer);
    write('tokenizer_config.json', { ...config, ...(chat_template !== null && { chat_template }) });
    const tensors = [...base.weights.tensors.values()].map(({ name, shape }): TensorToWrite => ({
      ...{ name, shape, dtype: 'BF16' },
      async *data() {
        yield await base.weights.readBF16(name);
      },
    }));
    await writeSafetensors(path.join(folder, 'model.safetensors'), tensors);
  } finally {
    await base.close();
  }
}
