import type { Adapter } from '../lora/adapter';
import { LoraError } from '../shared/errors';
import { withoutWrappers } from './architecture/modulePath';
import { pipelineModule } from './diffusion/names';
import { isOfPipeline, withDiffusersNames } from './diffusion/spellings';
import { comparableName } from './kohya/names';

/** A path's start up to the layers: that of a language model in its own or in a larger model. */
const BODY = /^((?:(?:base_model|module|model|language_model|text_model)\.)*)(?=(?:layers|h)\.\d)/;

/**
 * Adapters of one base with the same names for the same modules, those of the first one. They may
 * come from different versions (`language_model.model.layers`, `model.language_model.layers`,
 * `model.layers`) or formats (`unet.conv_in`, `lora_unet_conv_in`).
 *
 * @param places The adapters' files or folders, for messages.
 * @throws LoraError('adapter') when two modules of an adapter are one module of another.
 */
export function alignNames(
  adapters: readonly Adapter[],
  places: readonly string[],
): readonly Adapter[] {
  const own = areSpelledApart(adapters)
    ? adapters.map((adapter, n) => withDiffusersNames(adapter, places[n]!))
    : adapters;
  return aligned(own, places);
}

/** Whether adapters of an image pipeline have unlike names, or other modules, for one weight. */
function areSpelledApart(adapters: readonly Adapter[]): boolean {
  if (adapters.length < 2 || !adapters.every(isOfPipeline)) return false;
  const names = new Map<string, string>();
  for (const { modules } of adapters)
    for (const { path } of modules)
      for (const part of pipelineModule(path)!.paths) {
        const name = comparableName(path);
        if ((names.get(part) ?? name) !== name) return true;
        names.set(part, name);
      }
  return false;
}

function aligned(adapters: readonly Adapter[], places: readonly string[]): readonly Adapter[] {
  const [first, ...others] = adapters;
  if (!first) return [];
  const found = [renamed(first, withoutWrappers)];
  const names = new AlignedNames();
  names.add(found[0]!, places[0]!);
  for (const [n, other] of others.entries()) {
    const place = places[n + 1]!;
    const sameBody = renamed(other, bodyRename(other, found[0]!));
    const own = renamed(sameBody, names.renameFor(sameBody, place));
    names.add(own, place);
    found.push(own);
  }
  return found;
}

/** The names of modules so far, by what is the same for all spellings of a module. */
class AlignedNames {
  private readonly byModule = new Map<string, string>();
  private readonly known = new Set<string>();
  private readonly places = new Map<string, string>();

  add({ modules, trained }: Adapter, place: string): void {
    const own = new Map<string, string>();
    for (const name of [...modules.map((m) => m.path), ...trained.map((t) => t.name)]) {
      const key = comparableName(name);
      const other = own.get(key);
      own.set(key, name);
      this.known.add(name);
      // the same adapter's second spelling of a module: neither stands for it
      this.byModule.set(key, other === undefined ? (this.byModule.get(key) ?? name) : AMBIGUOUS);
      this.places.set(key, place);
    }
  }

  /** @throws LoraError('adapter') when a name stands for several modules. */
  renameFor({ modules, trained }: Adapter, place: string): (name: string) => string {
    const sources = new Map<string, string>();
    for (const name of [...modules.map((m) => m.path), ...trained.map((t) => t.name)]) {
      const target = this.targetOf(name);
      const other = sources.get(target);
      if (other !== undefined && other !== name)
        throw new LoraError('adapter', `${other} and ${name} are both ${target} in the others.`, {
          place: { file: place },
          fix: 'Name adapters of the same base.',
        });
      sources.set(target, name);
    }
    return (name) => this.targetOf(name);
  }

  private targetOf(name: string): string {
    if (this.known.has(name)) return name;
    const key = comparableName(name);
    const target = this.byModule.get(key) ?? name;
    if (target !== AMBIGUOUS) return target;
    throw new LoraError('adapter', `The adapter has two modules that can be ${name}.`, {
      place: { file: this.places.get(key)! },
      fix: 'Name adapters of the same base.',
    });
  }
}

const AMBIGUOUS = '';
/** The fields of a language model's body. */
const IN_BODY = /^(?:layers|h|embed_tokens|wte|wpe|norm|ln_f)(?:\.|$)/;

/** Replaces the start of an adapter's paths by that of another's. */
function bodyRename(own: Adapter, other: Adapter): (name: string) => string {
  const [from, to] = [bodyOf(own), bodyOf(other)];
  if (from === null || to === null || from === to) return withoutWrappers;
  return (name) => {
    const bare = withoutWrappers(name);
    const inner = bare.startsWith(from) ? bare.slice(from.length) : '';
    return IN_BODY.test(inner) ? to + inner : bare;
  };
}

/** What an adapter's paths have before the layers; null: none, or not always the same. */
function bodyOf({ modules }: Adapter): string | null {
  const found = new Set(modules.flatMap(({ path }) => BODY.exec(withoutWrappers(path))?.[1] ?? []));
  const [body] = found;
  return found.size === 1 ? body! : null;
}

function renamed(adapter: Adapter, rename: (name: string) => string): Adapter {
  return {
    ...adapter,
    modules: adapter.modules.map((m) => ({ ...m, path: rename(m.path) })),
    trained: adapter.trained.map((t) => ({ ...t, name: rename(t.name) })),
  };
}
