import path from 'node:path';
import type { MetricLine, StepLine } from '../../shared/metrics/lines';
import type { EngineProgress, EngineStatus } from '../../shared/engineProtocol';
import { RUN_FILES, type RunRecord } from '../../shared/run';
import type { Context } from './context';
import type { SupervisorOptions } from '../training/supervisor';

interface View {
  readonly hooks: Pick<SupervisorOptions, 'onMetric' | 'onProgress' | 'onStatus' | 'onLog'>;
  readonly finish: (record: RunRecord) => void;
}

/**
 * How a training is shown: a bar on a terminal, lines now and then elsewhere, one JSON object a
 * line with --json.
 */
export function showTraining(context: Context, runDir: string): View {
  if (context.json) return jsonView(context, runDir);
  return process.stdout.isTTY ? barView(context, runDir) : lineView(context, runDir);
}

const resultOf = (record: RunRecord, runDir: string) => ({
  kind: 'result',
  run_dir: runDir,
  state: record.state,
  ...record.result,
  error: record.error,
});

function jsonView({ print, warn }: Context, runDir: string): View {
  return {
    hooks: {
      onMetric: (line) => print(JSON.stringify(line)),
      onLog: (level, message) => level !== 'info' && warn(message),
    },
    finish: (record) => print(JSON.stringify(resultOf(record, runDir))),
  };
}

const LINE_EVERY_MS = 5_000;

function lineView({ print, warn }: Context, runDir: string): View {
  let shown = -Infinity;
  let status: EngineStatus | null = null;
  let phase: EngineProgress['phase'] | null = null;
  return {
    hooks: {
      onProgress: (progress) => {
        if (progress.phase !== phase && progress.phase !== 'training') print(`${progress.phase} …`);
        phase = progress.phase;
      },
      onStatus: (now) => {
        status = now;
      },
      onMetric: (line) => {
        const text = metricText(line, status);
        const due =
          line.kind !== 'step' ||
          performance.now() - shown >= LINE_EVERY_MS ||
          line.step === status?.total_steps;
        if (text === null || !due) return;
        if (line.kind === 'step') shown = performance.now();
        print(text);
      },
      onLog: (level, message) => (level === 'info' ? print(message) : warn(message)),
    },
    finish: (record) => print(endText(record, runDir)),
  };
}

function barView({ print, warn }: Context, runDir: string): View {
  let status: EngineStatus | null = null;
  let bar = '';
  const clear = () => process.stdout.write('\r\x1b[K');
  const draw = () => process.stdout.write(`\r\x1b[K${bar.slice(0, process.stdout.columns - 1)}`);
  const above = (write: () => void) => {
    clear();
    write();
    draw();
  };
  return {
    hooks: {
      onProgress: ({ phase, fraction }) => {
        if (phase !== 'training') bar = `${phase}${fraction === null ? '' : ` ${barOf(fraction)}`}`;
        draw();
      },
      onStatus: (now) => {
        status = now;
      },
      onMetric: (line) => {
        const text = metricText(line, status);
        if (text === null) return;
        if (line.kind !== 'step') {
          above(() => print(text));
          return;
        }
        bar = `${barOf(line.step / (status?.total_steps ?? line.step))} ${text}`;
        draw();
      },
      onLog: (_level, message) => above(() => warn(message)),
    },
    finish: (record) => {
      clear();
      print(endText(record, runDir));
    },
  };
}

function metricText(line: MetricLine, status: EngineStatus | null): string | null {
  switch (line.kind) {
    case 'step':
      return stepText(line, status);
    case 'eval':
      return [
        `step ${line.step}  validation loss ${line.loss.toFixed(4)}`,
        ...Object.entries(line.scores ?? {}).map(([name, value]) => `${name} ${value.toFixed(4)}`),
      ].join(', ');
    case 'sample':
      return `step ${line.step}  ${JSON.stringify(line.prompt)} -> ${JSON.stringify(line.completion)}`;
    case 'checkpoint':
      return `step ${line.step}  checkpoint ${line.path}`;
    case 'resume':
      return `going on from step ${line.step}`;
    case 'batch':
      return null;
  }
}

function stepText(line: StepLine, status: EngineStatus | null): string {
  const total = status?.total_steps ?? null;
  const of = total === null ? '' : ` of ${total}`;
  const seconds = status?.seconds_left ?? null;
  const gpu = status?.device_memory
    ? `, GPU ${(status.device_memory.used / 1e9).toFixed(2)} GB`
    : '';
  const left = seconds === null ? '' : `  ${duration(seconds)} left`;
  return `step ${line.step}${of}  loss ${line.loss.toFixed(4)}  ${Math.round(line.tokens_per_second)} tokens/s  ${(line.memory / 1e9).toFixed(2)} GB${gpu}${left}`;
}

function endText(record: RunRecord, runDir: string): string {
  const { result, state } = record;
  if (state === 'failed') return `The run failed: ${runDir}`;
  const product = result.model
    ? `model: ${path.join(runDir, result.model)}`
    : `adapter: ${path.join(runDir, result.adapter ?? RUN_FILES.adapter)}`;
  const resume = state === 'stopped' ? `\nGo on with: lora train --resume ${runDir}` : '';
  return `${state} after ${result.steps} steps, loss ${result.last_loss?.toFixed(4) ?? '–'}${result.last_validation_loss === null ? '' : `, validation loss ${result.last_validation_loss.toFixed(4)}`}\n${product}${resume}`;
}

const BAR_WIDTH = 24;
export function barOf(fraction: number): string {
  const done = Math.round(BAR_WIDTH * Math.min(1, Math.max(0, fraction)));
  return `[${'█'.repeat(done)}${'░'.repeat(BAR_WIDTH - done)}] ${Math.floor(100 * fraction)} %`;
}

/** 75 -> 1:15; 3675 -> 1:01:15 */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0
    ? `${h}:${String(m).padStart(2, '0')}:${String(s).padStart(2, '0')}`
    : `${m}:${String(s).padStart(2, '0')}`;
}

/** A job's progress: a bar on a terminal, a JSON object a line for programs, nothing elsewhere. */
export function jobProgress({ json, print, warn }: Pick<Context, 'json' | 'print' | 'warn'>): {
  readonly show: (phase: string, fraction: number) => void;
  readonly warn: (message: string) => void;
  readonly end: () => void;
} {
  let last = -1;
  const isNew = (phase: string, fraction: number) => {
    const now = Math.floor(100 * fraction) + phase.length * 1000;
    if (now === last) return false;
    last = now;
    return true;
  };
  if (json)
    return {
      show: (phase, fraction) => {
        if (isNew(phase, fraction)) print(JSON.stringify({ kind: 'progress', phase, fraction }));
      },
      warn: (message) => print(JSON.stringify({ kind: 'warning', message })),
      end: () => undefined,
    };
  if (!process.stdout.isTTY) return { show: () => undefined, warn, end: () => undefined };
  const clear = () => process.stdout.write('\r\x1b[K');
  return {
    show: (phase, fraction) => {
      if (isNew(phase, fraction)) process.stdout.write(`\r\x1b[K${barOf(fraction)} ${phase}`);
    },
    warn: (message) => {
      clear();
      warn(message);
    },
    end: clear,
  };
}
