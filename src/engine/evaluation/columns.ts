import path from 'node:path';
import type { EvaluationColumn } from '../../shared/evaluation/result';
import { LoraError } from '../../shared/errors';

const SYNTAX = 'base, adapter=DIR, checkpoint=DIR or endpoint=URL#MODEL';

/**
 * The columns that --column names, in their order and with different names.
 *
 * @throws LoraError('usage')
 */
export const columnsOf = (given: readonly string[]): readonly EvaluationColumn[] =>
  renamed(given.map(columnOf));

/** Columns with different names. */
export function renamed(columns: readonly EvaluationColumn[]): readonly EvaluationColumn[] {
  const names = new Set<string>();
  return columns.map((column) => {
    let { name } = column;
    for (let i = 2; names.has(name); i++) name = `${column.name} (${i})`;
    names.add(name);
    return { ...column, name };
  });
}

function columnOf(text: string): EvaluationColumn {
  if (text === 'base') return { kind: 'base', name: 'base' };
  const [, kind, value = ''] = /^(adapter|checkpoint|endpoint)=(.+)$/s.exec(text) ?? [];
  if (kind === 'endpoint') return { kind, ...endpointOf(value) };
  if (kind === 'adapter' || kind === 'checkpoint') {
    const folder = path.resolve(value);
    return { kind, name: nameOf(folder), path: folder };
  }
  throw new LoraError('usage', `--column must be ${SYNTAX}, not ${JSON.stringify(text)}.`);
}

/** A name that tells adapters of runs apart: those of one run have the names adapter, step-10, … */
function nameOf(folder: string): string {
  const parts = folder.split(path.sep).filter((part) => part !== 'checkpoints');
  const isOfRun = /^(?:adapter|best|step-\d+)$/.test(parts.at(-1) ?? '');
  return parts.slice(isOfRun ? -2 : -1).join('/');
}

/** An endpoint's address and model. */
export interface EndpointAddress {
  readonly name: string;
  /** Without a slash at its end. */
  readonly url: string;
  readonly model: string;
}

/** URL#MODEL; the address is http or https and has no password. @throws LoraError('usage') */
export function endpointOf(text: string): EndpointAddress {
  const [, address = '', model = ''] = /^([^#]*)#(.+)$/s.exec(text) ?? [];
  const url = URL.canParse(address) ? new URL(address) : null;
  const example = 'Write it as http://127.0.0.1:8000/v1#MODEL.';
  if (!url || model === '')
    throw new LoraError('usage', 'An endpoint must have an address and a model.', { fix: example });
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new LoraError('usage', `An endpoint must have an address with http or https.`, {
      fix: example,
    });
  if (url.username !== '' || url.password !== '')
    throw new LoraError('usage', "An endpoint's address must not contain a password.", {
      fix: 'Put the key into an environment variable (--key-env).',
    });
  return { name: `${model} at ${url.host}`, url: url.href.replace(/\/+$/, ''), model };
}
