import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fixtures } from './commandLine';

interface TokenizerJson {
  added_tokens: object[];
  model: { vocab: Record<string, number>; merges: (string | [string, string])[] };
}

/** The tokens of StarCoder2 for filling in. */
export const FIM_TOKENS = ['<fim_prefix>', '<fim_suffix>', '<fim_middle>', '<file_sep>'] as const;

/** Copies the tiny llama into a folder, with the last tokens of its vocabulary as those above. */
export function makeFimBase(folder: string): void {
  cpSync(path.join(fixtures, 'llama/base'), folder, { recursive: true });
  const file = path.join(folder, 'tokenizer.json');
  const json = JSON.parse(readFileSync(file, 'utf8')) as TokenizerJson;
  const { model, added_tokens } = json;
  const kept = Object.entries(model.vocab)
    .sort(([, a], [, b]) => a - b)
    .slice(0, -FIM_TOKENS.length);
  const first = kept.length;
  model.vocab = Object.fromEntries(kept);
  model.merges = model.merges.filter((merge) => {
    const parts = typeof merge === 'string' ? merge.split(' ') : merge;
    return [...parts, parts.join('')].every((part) => Object.hasOwn(model.vocab, part));
  });
  FIM_TOKENS.forEach((content, i) => {
    const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
    added_tokens.push({ id: first + i, content, ...flags, special: true });
    model.vocab[content] = first + i;
  });
  writeFileSync(file, JSON.stringify(json));
}
