import path from 'node:path';
import { canonicalPath } from '../architecture/names';
import type { ReadSpecOptions } from '../architecture/readSpec';
import type { Spec } from '../architecture/spec';
import { openBase } from '../openBase';
import { isFile } from '../../common/fileStatus';
import { readFolderTokenizer } from '../folderTokenizer';
import { withSafetensors } from '../safetensors/read';
import type { BaseModel } from '../baseModel';
import type { ReplacedTensor } from '../weightSource';
import { roleOf } from './names';
import { WEIGHTS_FILE } from './read';

/**
 * Opens a base for an adapter. When tokens were added before the adapter was trained, its
 * embedding, output layer and tokenizer replace those of the base: PEFT saves them with the adapter
 * and loads them into the base. Close the result.
 *
 * @throws LoraError as `openBase`, or when the adapter's weights cannot be read.
 */
export async function openBaseUnder(
  file: string,
  adapter: string | null,
  options: ReadSpecOptions = {},
): Promise<BaseModel> {
  const base = await openBase(file, options);
  if (adapter === null) return base;
  try {
    const replaced = await vocabularyIn(path.join(adapter, WEIGHTS_FILE), base.spec);
    const rows = [...replaced.values()][0]?.shape[0];
    if (rows === undefined) return base;
    await base.close();
    const own = await openBase(file, { ...options, vocab_size: rows, replaced });
    return (await isFile(path.join(adapter, 'tokenizer.json')))
      ? { ...own, readTokenizer: () => readFolderTokenizer(adapter) }
      : own;
  } catch (error) {
    await base.close();
    throw error;
  }
}

/**
 * The embedding and the output layer that an adapter's file contains, when one of them has another
 * number of rows than the base; else none.
 */
async function vocabularyIn(
  file: string,
  spec: Spec,
): Promise<ReadonlyMap<string, ReplacedTensor>> {
  const names =
    spec.embedding.kind === 'tokens'
      ? [
          `${spec.embedding.tokens.path}.weight`,
          ...(spec.head.kind === 'lm' && !spec.head.tied
            ? [`${spec.head.output.path}.weight`]
            : []),
        ]
      : [];
  if (names.length === 0 || !(await isFile(file))) return new Map();
  return withSafetensors(file, (source) => {
    const found = new Map<string, ReplacedTensor>();
    for (const { name, shape } of source.tensors.values()) {
      const role = roleOf(name);
      const own =
        role.role === 'trained' || role.role === 'base'
          ? `${canonicalPath(role.path, spec)}.weight`
          : null;
      if (
        own === null ||
        !names.includes(own) ||
        shape.length !== 2 ||
        (role.role === 'base' && found.has(own))
      )
        continue;
      found.set(own, { shape, read: () => withSafetensors(file, (again) => again.readF32(name)) });
    }
    return Promise.resolve(
      [...found.values()].some(({ shape }) => shape[0] !== spec.vocab_size)
        ? found
        : new Map<string, ReplacedTensor>(),
    );
  });
}
