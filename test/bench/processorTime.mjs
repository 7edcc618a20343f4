// The processor's time of this process and of all that it has started, for comparisons on a machine
// that is busy with other work. Linux only.
import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100;

/** Seconds so far, of processes that still run; NaN where there is no /proc. */
export function processorSeconds() {
  const processes = new Map(readProcesses().map(([id, parent, ticks]) => [id, { parent, ticks }]));
  if (processes.size === 0) return NaN;
  const isOurs = (id) => id === process.pid || (id > 1 && isOurs(processes.get(id)?.parent ?? 0));
  const ours = [...processes].filter(([id]) => isOurs(id));
  return ours.reduce((sum, [, { ticks }]) => sum + ticks, 0) / TICKS_PER_SECOND;
}

function readProcesses() {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap(readProcess);
  } catch {
    return [];
  }
}

/** Id, parent, and ticks in user and system mode; nothing if it has ended. */
function readProcess(id) {
  try {
    const stat = readFileSync(`/proc/${id}/stat`, 'utf8');
    // the name before it may hold spaces and brackets
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return [[Number(id), Number(fields[1]), Number(fields[11]) + Number(fields[12])]];
  } catch {
    return [];
  }
}

/** The median of some numbers. */
export const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
