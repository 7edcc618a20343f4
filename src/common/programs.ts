import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';

/** The variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What a search depends on; tests pass other values than the system's. */
export interface ProgramSearch {
  readonly platform: NodeJS.Platform;
  readonly isProgram: (file: string) => boolean;
}

const THIS_SYSTEM: ProgramSearch = {
  platform: process.platform,
  isProgram: (file) => {
    try {
      accessSync(file, constants.X_OK);
      return statSync(file).isFile();
    } catch {
      return false;
    }
  },
};

/**
 * The full path of a program on the PATH; null when there is none. An entry that is empty or
 * relative would lead to the working folder and is skipped. On Windows only .exe files count:
 * scripts (.cmd, .bat) need a shell, and Windows itself would search the working folder first.
 */
export function findProgram(
  name: string,
  env: Environment,
  { platform, isProgram }: ProgramSearch = THIS_SYSTEM,
): string | null {
  const paths = platform === 'win32' ? path.win32 : path.posix;
  const file = platform === 'win32' && !/\.exe$/i.test(name) ? `${name}.exe` : name;
  if (isFullPath(file, platform)) return isProgram(file) ? file : null;
  if (/[\\/:]/.test(name)) return null;
  return (
    pathOf(env, platform)
      .split(paths.delimiter)
      .filter((folder) => isFullPath(folder, platform))
      .map((folder) => paths.join(folder, file))
      .find(isProgram) ?? null
  );
}

/** Variables that list folders in which programs, libraries and modules are looked for. */
const FOLDER_LISTS = [
  'PATH',
  'LD_LIBRARY_PATH',
  'LD_PRELOAD',
  'LD_AUDIT',
  'DYLD_LIBRARY_PATH',
  'DYLD_FALLBACK_LIBRARY_PATH',
  'DYLD_FRAMEWORK_PATH',
  'DYLD_FALLBACK_FRAMEWORK_PATH',
  'DYLD_VERSIONED_LIBRARY_PATH',
  'DYLD_VERSIONED_FRAMEWORK_PATH',
  'DYLD_INSERT_LIBRARIES',
  'GCONV_PATH',
  'NODE_PATH',
  'PYTHONPATH',
  'CPATH',
  'C_INCLUDE_PATH',
  'CPLUS_INCLUDE_PATH',
  'LIBRARY_PATH',
  'COMPILER_PATH',
] as const;
/** Variables that name one file or folder of code or settings that a program loads. */
const SINGLE_PATHS = [
  'PYTHONHOME',
  'PYTHONSTARTUP',
  'PYTHONUSERBASE',
  'PYTHONEXECUTABLE',
  'PYTHONPYCACHEPREFIX',
  'PIP_CONFIG_FILE',
  'PIP_REQUIREMENT',
  'PIP_CONSTRAINT',
  'GCC_EXEC_PREFIX',
  'LORA_TFJS_BINDING',
  'OPENSSL_CONF',
  'OPENSSL_MODULES',
  'OPENSSL_ENGINES',
  'NODE_REPL_EXTERNAL_MODULE',
  'TF_PLUGGABLE_DEVICE_LIBRARY_PATH',
] as const;
const NODE_OPTIONS = 'NODE_OPTIONS';
/** Options of Node that load code or settings from the file that follows. */
const LOADS_FILE =
  /^(?:-r|--require|--import|--loader|--experimental-loader|--env-file|--env-file-if-exists|--(?:experimental-)?config-file|--experimental-default-config-file|--openssl-config|--snapshot-blob|--test-reporter|--test-global-setup)$/;

/**
 * A copy of an environment without what would load code from the working folder or from `untrusted`
 * folders: such entries of PATH, LD_LIBRARY_PATH, PYTHONPATH and the like, and a NODE_OPTIONS that
 * names a file there. A folder that holds the user's home is trusted: somebody who opens it as a
 * workspace has installed their own programs in it.
 */
export function safeEnvironment(
  env: Environment,
  untrusted: readonly string[] = [],
  platform: NodeJS.Platform = process.platform,
): Record<string, string | undefined> {
  const paths = platform === 'win32' ? path.win32 : path.posix;
  const isInside = (file: string, folder: string) => {
    const relative = paths.relative(folder, file);
    return (
      relative !== '..' && !relative.startsWith(`..${paths.sep}`) && !paths.isAbsolute(relative)
    );
  };
  const home = env['HOME'] ?? env['USERPROFILE'];
  const foreign = untrusted.filter((folder) => home === undefined || !isInside(home, folder));
  const isSafe = (file: string) =>
    isFullPath(file, platform) && !foreign.some((folder) => isInside(file, folder));
  const safeValue = (name: string, value: string): string | undefined => {
    const known = platform === 'win32' ? name.toUpperCase() : name;
    if (isOneOf(FOLDER_LISTS, known))
      return (
        listedIn(value, known, paths.delimiter).filter(isSafe).join(paths.delimiter) || undefined
      );
    if (isOneOf(SINGLE_PATHS, known)) return isSafe(value) ? value : undefined;
    return known === NODE_OPTIONS && !loadedFiles(value).every(isSafe) ? undefined : value;
  };
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => {
      const kept = value === undefined ? undefined : safeValue(name, value);
      return kept === undefined ? [] : [[name, kept]];
    }),
  );
}

const isOneOf = (names: readonly string[], name: string): boolean => names.includes(name);

/** The loader of Linux splits the libraries to preload at spaces too. */
const listedIn = (value: string, name: string, delimiter: string): string[] =>
  value.split(name === 'LD_PRELOAD' ? /[: ]/ : delimiter);

/** The files in the options of Node that load them. Node takes _ for - in the name of an option. */
function loadedFiles(options: string): readonly string[] {
  const words = (options.match(/(?:"(?:\\.|[^"])*"|[^\s"])+/g) ?? []).map(unquoted);
  return words.flatMap((word, i) => {
    const [, option = word, value] = /^(--[\w-]+)=(.*)$/s.exec(word) ?? [];
    if (!LOADS_FILE.test(option.replaceAll('_', '-'))) return [];
    // --import takes a URL, the others do not; on Windows file:///C:/x, elsewhere file:///x
    const file = (value ?? words[i + 1] ?? '').replace(/^file:\/\/(?:\/(?=[a-z]:))?/i, '');
    return [file, unescapedUrl(file)];
  });
}

/** A text that is not valid as a URL is given as "", which is no full path. */
function unescapedUrl(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

const unquoted = (word: string): string => word.replace(/\\(.)|"/g, '$1');

/** On Windows a path without a drive is relative to the current one. */
const isFullPath = (file: string, platform: NodeJS.Platform): boolean =>
  platform === 'win32' ? /^(?:[a-z]:[\\/]|\\\\[^\\/.?])/i.test(file) : path.posix.isAbsolute(file);

function pathOf(env: Environment, platform: NodeJS.Platform): string {
  if (platform !== 'win32') return env['PATH'] ?? '';
  const name = Object.keys(env).find((key) => key.toUpperCase() === 'PATH');
  return (name === undefined ? undefined : env[name]) ?? '';
}
