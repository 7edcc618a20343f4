import { escapeRegExp } from '../../shared/values';
import type { Runtime } from '../../runtime/runtime';

/** What an issue report says about the machine and the extension. */
export interface IssueFacts {
  readonly extensionVersion: string;
  readonly editor: string;
  readonly os: string;
  /** As `runtimeFact` describes it. */
  readonly runtime: string;
  /** Messages of the extension's log, oldest first. */
  readonly log: readonly string[];
  /** The user's home folder, which is replaced by ~. */
  readonly home: string;
}

/** A URL of an issue reporter can't be longer than a few thousand characters. */
const MAX_LOG_CHARACTERS = 6_000;

/** An issue report in Markdown. It is always in English, for those who read it. */
export function issueReport(facts: IssueFacts): string {
  const log = withoutHome(facts.log.join('\n'), facts.home).slice(-MAX_LOG_CHARACTERS);
  const fence = fenceFor(log);
  return [
    '### What happened?',
    '',
    '<!-- What did you do, what did you expect, and what did you see instead? -->',
    '',
    '### Environment',
    '',
    `- LoRA Workbench: ${facts.extensionVersion}`,
    `- Editor: ${facts.editor}`,
    `- Operating system: ${facts.os}`,
    `- Runtime: ${withoutHome(facts.runtime, facts.home)}`,
    '',
    '### Log',
    '',
    `${fence}text`,
    log === '' ? '(empty)' : log,
    fence,
    '',
  ].join('\n');
}

/** A fence that no line of the text can close. */
function fenceFor(text: string): string {
  const longest = Math.max(3, ...Array.from(text.matchAll(/`+/g), ([run]) => run.length));
  return '`'.repeat(longest + 1);
}

/** A runtime in one line: its kind, the version of TensorFlow and the device. */
export function runtimeFact(runtime: Runtime | null): string {
  if (!runtime) return 'none installed';
  if (runtime.kind === 'wasm') return 'WebAssembly on the CPU';
  return `TensorFlow ${runtime.tensorflow_version} (${runtime.source}) on the ${runtime.device.toUpperCase()}`;
}

/** Replaces the home folder by ~, which on Windows is written in many ways. */
function withoutHome(text: string, home: string): string {
  if (home === '' || home === '/') return text;
  return /^[a-z]:[\\/]/i.test(home)
    ? text.replace(pathOfWindows(home), '~')
    : text.replaceAll(home, '~');
}

/** Finds a path in any case, with any slashes (in JSON double ones), and in the URL of a file. */
function pathOfWindows(file: string): RegExp {
  const [drive = '', ...names] = file.split(/[\\/]+/).filter(Boolean);
  const either = names.map(
    (name) => `(?:${[name, encodeURIComponent(name)].map(escapeRegExp).join('|')})`,
  );
  return new RegExp([`${drive[0]}(?::|%3A)`, ...either].join('[\\\\/]+'), 'gi');
}
