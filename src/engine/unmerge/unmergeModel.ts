import { stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { detectAdapter, adapterFiles, readAnyAdapter } from '../../formats/adapterFormat';
import { tiedWeight } from '../../formats/architecture/modules';
import { openBase } from '../../formats/openBase';
import type { BaseModel } from '../../formats/baseModel';
import type { Adapter } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import { throwIfCancelled } from '../../common/cancellation';
import { openTarget } from '../merge/openTarget';
import { checkOutput, checkRoom, clearUnfinished } from '../merge/place';
import type { TensorFacts } from '../merge/stream';
import { readCertificate, verified, verifyMerge } from '../merge/verify';

export interface UnmergeOptions {
  /** The folder or .gguf file that a merge wrote. */
  readonly merged: string;
  readonly output: string;
  /** Where the adapters are now; empty: where the certificate says. */
  readonly adapters: readonly string[];
  readonly signal: AbortSignal;
  readonly onProgress: (
    phase: 'checking inputs' | 'unmerging' | 'comparing',
    fraction: number,
  ) => void;
}

/** unmerge.json: what was taken out of what, and how far the numbers can be from the base's. */
export interface Unmerged {
  readonly version: 1;
  readonly created: string;
  readonly merged: string;
  readonly adapters: readonly string[];
  /** Of each tensor that was changed: the merge's rounding and this one's together. */
  readonly tensors: readonly { readonly name: string; readonly bound: number }[];
  /** The largest difference from the base's numbers, where the base is still there. */
  readonly largest_difference: number | null;
}

type Certificate = Awaited<ReturnType<typeof readCertificate>>;

const RECORD = 'unmerge.json';
const ROOM_FOR_SMALL_FILES = 64e6;

/**
 * Takes the adapters out of a merged model again: W' - s·BA, within rounding. Errors: LoraError.
 */
export async function unmergeModel(options: UnmergeOptions): Promise<Unmerged> {
  const { merged, output, signal, onProgress } = options;
  const certificate = await readCertificate(merged);
  const places =
    options.adapters.length > 0
      ? options.adapters.map((own) => path.resolve(own))
      : certificate.adapters;
  await checkOutput(output, [merged, ...places]);
  if (merged.endsWith('.gguf') !== output.endsWith('.gguf'))
    throw new LoraError(
      'usage',
      'A merged folder gives a folder back, a merged .gguf file a .gguf file.',
      { place: { file: output }, fix: 'Name an output of the same kind.' },
    );
  await clearUnfinished(output);
  onProgress('checking inputs', 0);
  await refuseChanged(merged, certificate, places, signal);
  const model = await openBase(merged);
  try {
    const adapters: Adapter[] = [];
    for (const place of places)
      adapters.push(negative((await readAnyAdapter(place, model)).adapter, certificate, place));
    return await write(model, adapters, places, certificate, options);
  } finally {
    await model.close();
  }
}

async function refuseChanged(
  merged: string,
  { adapters, inputs }: Certificate,
  places: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const changed = (await verifyMerge(merged, signal)).outputs.find(({ state }) => state !== 'same');
  if (changed)
    throw new LoraError(
      'base',
      `The merged model is not as it was written: the file is ${changed.state}.`,
      { place: { file: changed.file } },
    );
  if (places.length !== adapters.length)
    throw new LoraError(
      'usage',
      `${adapters.length} adapters were merged, ${places.length} are named.`,
      { fix: 'Name them all, in their order.' },
    );
  for (const [n, place] of places.entries()) {
    const files = adapterFiles(await detectAdapter(place));
    const known = inputs.filter(({ file }) => isOf(file, adapters[n]!));
    const state = (
      await verified(
        known,
        (file) => files.find((own) => path.basename(own) === path.basename(file)) ?? file,
        signal,
      )
    ).find((own) => own.state !== 'same');
    if (state || known.length !== files.length)
      throw new LoraError(
        'adapter',
        'This is not the adapter that was merged, or it was changed since.',
        {
          place: { file: state?.file ?? place },
          fix: 'Name the one that was merged with --adapter.',
        },
      );
  }
}

const isOf = (file: string, adapter: string) => file === adapter || path.dirname(file) === adapter;

/** Errors: LoraError where the merged weight does not tell what the base's was. */
function negative(adapter: Adapter, { scale, base }: Certificate, file: string): Adapter {
  const [what] = [
    ...(adapter.modules.some((m) => m.magnitude)
      ? [
          'DoRA brings each row to another length, and the merged weights do not tell the one before',
        ]
      : []),
    ...(adapter.trained.length > 0
      ? [`${adapter.trained[0]!.name} was replaced by what the adapter trained whole`]
      : []),
  ];
  if (what !== undefined)
    throw new LoraError('adapter', `The adapter cannot be taken out again: ${what}.`, {
      place: { file },
      fix: `Use the base, which was ${base}.`,
    });
  return {
    ...adapter,
    modules: adapter.modules.map((m) => ({ ...m, scaling: -m.scaling * scale })),
  };
}

async function write(
  model: BaseModel,
  adapters: readonly Adapter[],
  places: readonly string[],
  certificate: Certificate,
  { merged, output, signal, onProgress }: UnmergeOptions,
): Promise<Unmerged> {
  const retie =
    certificate.untied && model.spec.head.kind === 'lm'
      ? `${model.spec.head.output.path}.weight`
      : null;
  const target = await openTarget(model, adapters, {
    output,
    dtype: 'keep',
    max_shard_size: null,
    labels: null,
    top: places.at(-1)!,
    retie,
  });
  let record: Unmerged | undefined;
  try {
    await checkRoom(output, target.bytes + ROOM_FOR_SMALL_FILES);
    await target.place(async (temp) => {
      const facts: TensorFacts[] = [];
      let written = 0;
      await target.write(temp, {
        signal,
        onTensor: (own) => facts.push(own),
        onBytes: (bytes) => onProgress('unmerging', (written += bytes) / target.bytes),
      });
      const before = new Map(
        certificate.tensors.map(({ name, rounding_error }) => [name, rounding_error]),
      );
      const tensors = facts.map(({ name, rounding_error }) => ({
        name,
        bound: rounding_error + (before.get(name) ?? 0),
      }));
      const largest_difference = await differenceFrom(
        certificate.base,
        target.modelIn(temp),
        signal,
        (fraction) => onProgress('comparing', fraction),
      );
      record = {
        version: 1,
        created: new Date().toISOString(),
        merged,
        adapters: places,
        tensors,
        largest_difference,
      };
      await writeFile(
        path.join(temp, output.endsWith('.gguf') ? `${path.basename(output)}.${RECORD}` : RECORD),
        `${JSON.stringify(record, null, 2)}\n`,
        { flush: true },
      );
    });
    return record!;
  } finally {
    await target.close();
  }
}

/** Null where the base is gone, or is another now. */
async function differenceFrom(
  basePath: string,
  unmerged: string,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<number | null> {
  if (
    !(await stat(basePath).then(
      () => true,
      () => false,
    ))
  )
    return null;
  const [base, own] = [await openBase(basePath), await openBase(unmerged)];
  try {
    let [largest, done] = [0, 0];
    const names = [...base.weights.tensors.keys()].filter(
      (name) => own.weights.tensors.has(name) && name !== tiedWeight(base.spec)?.name,
    );
    for (const name of names) {
      throwIfCancelled(signal);
      const [a, b] = [await base.weights.readF32(name), await own.weights.readF32(name)];
      if (a.length !== b.length) return null;
      for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i]! - b[i]!));
      onProgress(++done / names.length);
    }
    return largest;
  } finally {
    await Promise.all([base.close(), own.close()]);
  }
}
