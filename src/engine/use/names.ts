import path from 'node:path';
import { RUN_FILES } from '../../shared/run';

/** What every program takes as the name of a model. */
const NAME = /^[a-z0-9][a-z0-9._-]{0,59}$/;
const MAX_CHARACTERS = 60;

export const isModelName = (name: string): boolean => NAME.test(name);

/** A model's name from the place of an adapter: of one in a run's folder, that of the run. */
export function modelNameOf(adapter: string): string {
  const { name } = path.parse(adapter);
  const isOfRun = name === RUN_FILES.adapter || name === 'best' || name.startsWith('step-');
  const parents = name.startsWith('step-') ? 2 : 1;
  const owner = path.basename(path.resolve(adapter, ...Array<string>(parents).fill('..')));
  const text = isOfRun && owner !== '' ? owner : name;
  const plain = text
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, MAX_CHARACTERS)
    .replace(/[^a-z0-9]+$/, '');
  return plain === '' ? 'adapter' : plain;
}
