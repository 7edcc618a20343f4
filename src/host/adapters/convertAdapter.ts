import path from 'node:path';
import { t } from '../text/l10n';
import { pickRow, type PickRow } from '../ui/inputs';
import { notify } from '../ui/messages';
import { revealPlace } from '../editor/openPlace';
import { showModelfile } from '../editor/showModelfile';
import type { LlamaOutput } from '../../shared/useTools';
import type { RunStore } from '../runs/runStore';
import { chooseAdapter } from './chooseAdapter';
import type { Jobs } from '../jobs/jobs';
import { chooseBaseOf } from './chooseModel';
import { askOutput } from './askOutput';
import { adapterName } from './adapterNames';

interface Target extends PickRow {
  readonly to: 'peft' | 'mlx' | 'gguf' | 'kohya' | 'diffusers' | 'ai-toolkit';
  readonly ending: string;
}

/** Formats of image models alone, whose names say all. */
const OF_IMAGES: ReadonlySet<Target['to']> = new Set(['diffusers', 'ai-toolkit']);

interface Converted {
  readonly notes: readonly string[];
  readonly base: string | null;
  /** What llama.cpp makes with it; null: nothing, or the base is not known. */
  readonly makes: LlamaOutput | null;
}

/**
 * Converts an adapter to another format: asks for the format and the adapter's base model.
 *
 * @throws LoraError as `Jobs.run` does, including when the format cannot represent the adapter.
 */
export async function convertAdapterCommand(
  jobs: Jobs,
  store: RunStore,
  argument: unknown,
): Promise<void> {
  const adapter = await chooseAdapter(store, argument, t('Select an adapter to convert'));
  if (adapter === undefined) return;
  const targets: Target[] = [
    { label: 'llama.cpp, Ollama (.gguf)', to: 'gguf', ending: '.gguf' },
    { label: 'mlx-lm', to: 'mlx', ending: '' },
    { label: t('kohya scripts (.safetensors)'), to: 'kohya', ending: '.safetensors' },
    { label: t('Diffusers (.safetensors)'), to: 'diffusers', ending: '.safetensors' },
    { label: t('ai-toolkit (.safetensors)'), to: 'ai-toolkit', ending: '.safetensors' },
    { label: 'PEFT', to: 'peft', ending: '' },
  ];
  const target = await pickRow(targets, {
    title: t('Convert Adapter'),
    placeHolder: t('Select a format'),
  });
  if (!target) return;
  const base = OF_IMAGES.has(target.to) ? null : await chooseBaseOf(adapter, 'all');
  if (base === undefined) return;
  const stem = path.basename(adapterName(adapter), path.extname(adapter));
  const output = await askOutput({
    title: t('Convert Adapter: Output'),
    stem: target.ending === '' ? `${stem}-${target.to}` : stem,
    ending: target.ending,
    beside: adapter,
  });
  if (output === undefined) return;
  const converted = await jobs.run<Converted>(
    t('Converting {0}', adapterName(adapter)),
    [
      ...['convert', '--adapter', adapter, '--to', target.to, '--output', output],
      ...(base === null ? [] : ['--base', base]),
    ],
    false,
  );
  if (converted) await showConverted(converted, output, target);
}

async function showConverted(
  { notes, base, makes }: Converted,
  output: string,
  { to, label }: Target,
): Promise<void> {
  const [show, modelfile] = [t('Reveal in Explorer'), t('Create Modelfile')];
  const chosen = await notify(
    'information',
    [t('Converted the adapter for {0}: {1}.', label, output), ...notes].join(' '),
    [show, ...(to === 'gguf' && makes === 'text' ? [modelfile] : [])],
  );
  if (chosen === show) await revealPlace(output);
  if (chosen === modelfile) await showModelfile(base ?? '', output);
}
