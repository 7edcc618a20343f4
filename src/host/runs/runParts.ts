import { lstat } from 'node:fs/promises';
import path from 'node:path';
import { listFolder } from '../../common/regularFile';
import { refuseLinks } from '../../common/withoutLinks';
import { RUN_FILES } from '../../shared/run';
import { t } from '../text/l10n';
import type { RunSummary } from './run';

/** A row below a run in the Runs view. */
export interface RunPart {
  readonly kind: 'adapter' | 'model' | 'checkpoint' | 'samples' | 'log' | 'recipe';
  readonly label: string;
  readonly description: string;
  readonly icon: string;
  readonly path: string;
  /** The adapter's folder, for rows that adapter commands apply to. */
  readonly adapter: string | null;
}

/**
 * What the folder of a run contains: its adapter or model, the best one, checkpoints from the
 * newest on, samples, recipe and log. Links are left out: nothing that they lead to is touched.
 */
export async function partsOf(run: RunSummary): Promise<RunPart[]> {
  const inRun = (...names: string[]) => path.join(run.dir, ...names);
  const isThere = (place: string) =>
    refuseLinks(place, run.dir)
      .then(() => lstat(place))
      .then(
        () => true,
        () => false,
      );
  const adapter = (place: string, label: string, description = ''): RunPart => ({
    kind: 'adapter',
    label,
    description,
    icon: 'package',
    path: place,
    adapter: place,
  });
  const model = (place: string, label: string, description = ''): RunPart => ({
    kind: 'model',
    label,
    description,
    icon: 'symbol-misc',
    path: place,
    adapter: null,
  });
  const product = run.method === 'full' ? model : adapter;
  const file = (
    kind: 'samples' | 'log' | 'recipe',
    label: string,
    name: string,
    icon: string,
  ): RunPart => ({ kind, label, description: '', icon, path: inRun(name), adapter: null });
  const [best, metrics, record, log] = await Promise.all(
    [RUN_FILES.best, RUN_FILES.metrics, RUN_FILES.record, RUN_FILES.log].map((name) =>
      isThere(inRun(name)),
    ),
  );
  return [
    ...(run.adapter !== null && (await isThere(run.adapter))
      ? [adapter(run.adapter, t('Adapter'))]
      : []),
    ...(run.model !== null && (await isThere(run.model)) ? [model(run.model, t('Model'))] : []),
    ...(best
      ? [
          product(
            inRun(RUN_FILES.best),
            run.method === 'full' ? t('Best model') : t('Best adapter'),
            t('lowest validation loss'),
          ),
        ]
      : []),
    ...(await checkpointsOf(inRun(RUN_FILES.checkpoints), run.method !== 'full')),
    ...(metrics ? [file('samples', t('Samples'), RUN_FILES.metrics, 'comment')] : []),
    ...(record ? [file('recipe', t('Recorded recipe'), RUN_FILES.record, 'json')] : []),
    ...(log ? [file('log', t('Log'), RUN_FILES.log, 'output')] : []),
  ];
}

/** `areAdapters`: whether each checkpoint is an adapter. */
async function checkpointsOf(folder: string, areAdapters: boolean): Promise<RunPart[]> {
  const isFolder = await lstat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  const entries = isFolder ? await listFolder(folder).catch(() => []) : [];
  const steps = entries
    .map(({ name }) => Number(/^step-(\d+)$/.exec(name)?.[1] ?? NaN))
    .filter(Number.isFinite)
    .sort((a, b) => b - a);
  return steps.map((step) => {
    const place = path.join(folder, `step-${step}`);
    return {
      kind: 'checkpoint',
      label: t('Checkpoint at step {0}', step),
      description: '',
      icon: 'history',
      path: place,
      adapter: areAdapters ? place : null,
    };
  });
}
