import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import * as v from 'valibot';
import { readTextFile, type ReadLimits } from '../common/regularFile';
import { linkLibrary } from './linkLibrary';
import { COMPANION_NAME, TENSORFLOW_VERSION, type PlatformPin } from './pins';
import type { Source } from './sources';
import { WrongFileError } from './wheel';

// The companion is an extension without code that carries the pinned libraries of one platform, so
// that they can be installed like any other extension: without a network, a mirror or Python.

/**
 * Version of the companion: TensorFlow's, whose last part is followed by two digits that count how
 * often the same libraries were packaged.
 */
export const COMPANION_VERSION = `${TENSORFLOW_VERSION}00`;
/** The folder of the libraries in it. */
export const COMPANION_LIBRARIES = 'lib';

/** The part of its package.json that says what it carries. */
const CompanionSchema = v.object({
  loraRuntime: v.object({ platform: v.string(), tensorflow: v.string() }),
});
export type CompanionManifest = v.InferOutput<typeof CompanionSchema>;

const MANIFEST: ReadLimits = { maxBytes: 2 ** 16, links: 'refused' };

/** The .vsix of a platform's companion. */
export const companionPackage = (platform: string): string =>
  `lora-workbench-runtime-${platform}.vsix`;

/**
 * The libraries of a companion, where they lie. Each must have its pinned SHA-256.
 *
 * @throws WrongFileError when it is for another platform or version; no other source replaces what
 *   the user has installed.
 */
export async function companionSource(
  folder: string,
  pin: PlatformPin,
  platform: string,
): Promise<Source> {
  await checkCompanion(folder, platform);
  const fix = fixFor(platform);
  return {
    name: 'companion',
    id: idOf(folder),
    pinned: { sha256: pin.library_sha256 ?? {}, fix },
    fill: async (target) => {
      for (const name of Object.values(pin.libraries)) {
        const library = path.join(folder, COMPANION_LIBRARIES, name);
        if (!existsSync(library)) throw new WrongFileError(`${library} is missing.`, fix);
        await linkLibrary(library, path.join(target, name));
      }
      return `The extension ${COMPANION_NAME} has TensorFlow ${TENSORFLOW_VERSION} in ${folder}, where it is used.`;
    },
  };
}

const PREFIX = 'companion-';

const idOf = (folder: string): string =>
  `${PREFIX}${createHash('sha256').update(folder).digest('hex').slice(0, 8)}`;

/**
 * Removes what was kept under home for other companions than the one in a folder; null: for all. On
 * Windows these are hard links, which would keep the libraries of a removed extension.
 */
export async function forgetCompanions(home: string, folder: string | null): Promise<void> {
  const names = await readdir(home).catch((): string[] => []);
  const kept = folder === null ? null : `${idOf(folder)}-`;
  const others = names.filter(
    (name) => name.startsWith(PREFIX) && (kept === null || !name.startsWith(kept)),
  );
  // those that a run has loaded stay on Windows
  for (const name of others)
    await rm(path.join(home, name), { recursive: true }).catch(() => undefined);
}

async function checkCompanion(folder: string, platform: string): Promise<void> {
  const file = path.join(folder, 'package.json');
  const manifest = await readManifest(file);
  const fix = fixFor(platform);
  if (!manifest)
    throw new WrongFileError(`${file} is not that of the extension ${COMPANION_NAME}.`, fix);
  const { platform: own, tensorflow } = manifest.loraRuntime;
  if (own !== platform)
    throw new WrongFileError(
      `The extension ${COMPANION_NAME} in ${folder} is for ${own}, but this is ${platform}.`,
      fix,
    );
  if (tensorflow !== TENSORFLOW_VERSION)
    throw new WrongFileError(
      `The extension ${COMPANION_NAME} in ${folder} has TensorFlow ${tensorflow}, but this version of LoRA Workbench needs ${TENSORFLOW_VERSION}.`,
      fix,
    );
}

const fixFor = (platform: string): string =>
  `Install ${companionPackage(platform)} of the same release as LoRA Workbench, or uninstall ${COMPANION_NAME}.`;

async function readManifest(file: string): Promise<CompanionManifest | null> {
  try {
    const parsed = v.safeParse(CompanionSchema, JSON.parse(await readTextFile(file, MANIFEST)));
    return parsed.success ? parsed.output : null;
  } catch {
    return null;
  }
}
