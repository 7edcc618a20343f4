// The processor's time of this process and of all that it has started, for comparisons on a machine
// that is busy with other work. Linux only.
import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100;

/** The ticks of each process of ours when it was seen last: those that have ended count too. */
const seen = new Map();

/** Seconds so far; NaN where there is no /proc. */
export function processorSeconds() {
  const processes = new Map(readProcesses().map((one) => [one.id, one]));
  if (processes.size === 0) return NaN;
  const isOurs = (id) => id === process.pid || (id > 1 && isOurs(processes.get(id)?.parent ?? 0));
  for (const { id, started, ticks } of processes.values())
    if (isOurs(id) || seen.has(`${id} ${started}`)) seen.set(`${id} ${started}`, ticks);
  return [...seen.values()].reduce((sum, ticks) => sum + ticks, 0) / TICKS_PER_SECOND;
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

/** A process, with its ticks in user and system mode; none if it has ended. */
function readProcess(id) {
  try {
    const stat = readFileSync(`/proc/${id}/stat`, 'utf8');
    // the name before it may hold spaces and brackets
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = Number(fields[11]) + Number(fields[12]);
    return [{ id: Number(id), parent: Number(fields[1]), started: fields[19], ticks }];
  } catch {
    return [];
  }
}

/** The median of some numbers. */
export const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
