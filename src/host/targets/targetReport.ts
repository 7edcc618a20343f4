import type { TargetMachine, TargetReport } from '../../targets/target';
import type { TargetEntry } from '../../targets/targetSchema';
import { formatBytes } from '../text/format';
import { formatNumber, t } from '../text/l10n';
import { placeOf } from './mergeTargets';
import { kindName } from './remoteText';

/** A machine in a few words: "16 cores, 64 GiB, NVIDIA L4 (23 GiB)". */
export function machineText({ cores, memory, gpus }: TargetMachine): string {
  const parts = [
    cores === null ? null : t('{0} {0|core|cores}', formatNumber(cores)),
    memory === null ? null : formatBytes(memory),
    ...gpus.map((gpu) => gpuText(gpu)),
  ].filter((part) => part !== null);
  return parts.length > 0 ? parts.join(', ') : t('nothing is known of it');
}

const gpuText = ({ name, memory }: TargetMachine['gpus'][number]): string =>
  memory === null ? name : `${name} (${formatBytes(memory)})`;

/** A target in one line, for lists. */
export function reportSummary({ machines, missing }: TargetReport): string {
  const [first, ...others] = machines;
  const text =
    others.length === 0
      ? first && machineText(first)
      : t('{0} machines, the first with {1}', machines.length, machineText(first!));
  const [fault] = missing;
  return fault ?? text ?? t('reachable');
}

/**
 * The memory that a training run there can use: a GPU's, else the largest machine's; null: unknown.
 */
export function memoryOf({ machines }: TargetReport): number | null {
  const gpus = machines.flatMap((machine) => machine.gpus.flatMap(({ memory }) => memory ?? []));
  const sizes = gpus.length > 0 ? gpus : machines.flatMap(({ memory }) => memory ?? []);
  return sizes.length === 0 ? null : Math.max(...sizes);
}

/** What a check has found, as a document. */
export function reportDocument(entry: TargetEntry, report: TargetReport): string {
  const { machines, node, runtime, missing } = report;
  const lines = [
    `# ${entry.name}`,
    '',
    t('{0} at {1}. The connection works.', kindName(entry.kind), placeOf(entry)),
    '',
    ...verdict(missing),
    '',
    `- Node: ${node ?? t('installed with the first run')}`,
    `- libtensorflow: ${runtime ?? t('installed with the first run')}`,
    ...machines.flatMap((machine) => ['', `## ${machine.name}`, '', ...machineLines(machine)]),
  ];
  return `${lines.join('\n')}\n`;
}

function verdict(missing: readonly string[]): string[] {
  if (missing.length === 0) return [t('Runs can be sent to it.')];
  return [t('Runs cannot be sent to it yet:'), '', ...missing.map((text) => `- ${text}`)];
}

function machineLines({ platform, cores, memory, freeDisk, gpus }: TargetMachine): string[] {
  const facts: [string, string | null][] = [
    [t('System'), platform],
    [t('Cores'), cores === null ? null : formatNumber(cores)],
    [t('Memory'), memory === null ? null : formatBytes(memory)],
    [t('Free disk space'), freeDisk === null ? null : formatBytes(freeDisk)],
    ['GPU', gpus.length === 0 ? t('none') : gpus.map(gpuText).join(', ')],
  ];
  return facts.map(([label, value]) => `- ${label}: ${value ?? t('unknown')}`);
}
