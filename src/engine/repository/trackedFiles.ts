import { findProgram, safeEnvironment } from '../../common/programs';
import { startProcess } from '../../common/startProcess';
import { LoraError } from '../../shared/errors';
import { oneLine } from '../../shared/plainText';

/** A file that git tracks. */
export interface TrackedFile {
  /** Relative to the folder, with slashes. */
  readonly path: string;
  readonly kind: 'file' | 'link' | 'submodule';
  /** Whether .gitignore names it all the same. */
  readonly isIgnored: boolean;
}

/** What git lists. */
export interface TrackedFiles {
  readonly files: readonly TrackedFile[];
  /** Whether there are more, which were not read. */
  readonly isCut: boolean;
}

/** The most files that are listed. */
const MOST_LISTED = 500_000;

/**
 * The files below a folder that git tracks.
 *
 * @param globs Patterns of git for their paths (`src/**`); those that begin with ! leave out.
 * @throws LoraError where git is not installed, or refuses
 */
export async function trackedFiles(
  folder: string,
  globs: readonly string[],
): Promise<TrackedFiles> {
  const env = safeEnvironment(process.env, [folder]);
  const git = findProgram('git', env);
  if (git === null)
    throw new LoraError('usage', 'git is not installed, so its files cannot be listed.', {
      fix: 'Install git.',
    });
  const patterns = globs.map((glob) =>
    glob.startsWith('!') ? `:(exclude,glob)${glob.slice(1)}` : `:(glob)${glob}`,
  );
  const list = (...options: readonly string[]) =>
    listed({ git, folder, env, args: [...options, '--', ...patterns] });
  const tracked = await list('--stage');
  const ignored = await list('--cached', '--ignored', '--exclude-standard');
  const names = new Set(ignored.entries);
  const files = new Map(tracked.entries.flatMap(fileIn).map((file) => [file.path, file]));
  return {
    files: [...files.values()].map((file) => ({ ...file, isIgnored: names.has(file.path) })),
    isCut: tracked.isCut,
  };
}

/** An entry of the index: "100644 HASH 0\tPATH". */
function fileIn(entry: string): readonly Omit<TrackedFile, 'isIgnored'>[] {
  const { mode, path } = /^(?<mode>\d{6}) \w+ \d\t(?<path>.+)$/s.exec(entry)?.groups ?? {};
  if (mode === undefined || path === undefined || !isInside(path)) return [];
  if (mode === '120000') return [{ path, kind: 'link' }];
  return [{ path, kind: mode.startsWith('100') ? 'file' : 'submodule' }];
}

/** Whether a path of an index stays in its folder. */
const isInside = (path: string): boolean =>
  !/^[/\\]|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)/.test(path);

interface Listing {
  readonly git: string;
  readonly folder: string;
  readonly env: Record<string, string | undefined>;
  readonly args: readonly string[];
}

/** Settings of a repository start no program and fetch nothing. */
const SAFE = ['-c', 'core.fsmonitor=false', '-c', 'core.hooksPath=/dev/null', '--no-pager'];
const ENVIRONMENT = {
  GIT_OPTIONAL_LOCKS: '0',
  GIT_NO_LAZY_FETCH: '1',
  GIT_ALLOW_PROTOCOL: 'none',
  GIT_TERMINAL_PROMPT: '0',
  LC_ALL: 'C',
};
/** Of whoever starts this program, such as a hook: they would name another repository. */
const OTHER_REPOSITORY = /^GIT_(?:DIR|WORK_TREE|INDEX_FILE|COMMON_DIR|PREFIX|CONFIG.*|TRACE.*)$/;

/** What `git ls-files` lists, each entry once. */
function listed({ git, folder, env, args }: Listing): Promise<{
  readonly entries: readonly string[];
  readonly isCut: boolean;
}> {
  const own = Object.entries(env).filter(([name]) => !OTHER_REPOSITORY.test(name));
  const child = startProcess(git, [...SAFE, '-C', folder, 'ls-files', '-z', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...Object.fromEntries(own), ...ENVIRONMENT },
  });
  const entries: string[] = [];
  let [rest, stderr, isCut] = ['', '', false];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\0');
    rest = parts.pop()!;
    for (const part of parts) if (entries.length < MOST_LISTED) entries.push(part);
    isCut = entries.length === MOST_LISTED || rest.length > MOST_PATH;
    if (isCut) child.kill();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(0, 2000);
  });
  return new Promise((resolve, reject) => {
    child.once('error', ({ message }) => reject(gitError(folder, message)));
    child.once('close', (code) => {
      if (code === 0 || isCut) resolve({ entries, isCut });
      else reject(gitError(folder, stderr));
    });
  });
}

const MOST_PATH = 2 ** 16;

function gitError(folder: string, text: string): LoraError {
  const place = { file: folder };
  if (/not a git repository|cannot change to|not a directory/i.test(text))
    return new LoraError('usage', 'The folder is not in a git repository.', {
      place,
      fix: 'Choose a folder whose files git tracks.',
    });
  const reason = oneLine(
    text
      .trim()
      .split('\n')[0]!
      .replace(/^fatal: /, ''),
  ).slice(0, 300);
  return new LoraError('usage', `git cannot list the files: ${reason}`, { place });
}
