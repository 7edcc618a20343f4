// Reads what a library of macOS (Mach-O, 64 bits, little-endian) says of itself.
import { readFileSync } from 'node:fs';

const MAGIC = 0xfeedfacf;
const [LC_SYMTAB, LC_LOAD_DYLIB, LC_ID_DYLIB, LC_CODE_SIGNATURE] = [0x2, 0xc, 0xd, 0x1d];
const SYMBOL_BYTES = 16;
/** Of a symbol's type: for the debugger; what it is; visible to other files. */
const [N_STAB, N_TYPE, N_EXT] = [0xe0, 0x0e, 0x01];
const N_UNDF = 0x00;
/** Of a binding: the library is found when the program runs. */
const DYNAMIC_LOOKUP = 254;

/**
 * `libraries`: those that it is linked to, in order, with the lowest version that it accepts.
 * `own`: its own name and version; null for a bundle. `undefinedSymbols`: with the library that has
 * to have them, or null if any may. `isSigned`.
 */
export function readMachO(file) {
  const bytes = readFileSync(file);
  if (bytes.readUInt32LE(0) !== MAGIC) throw new Error(`${file} is no Mach-O file of 64 bits.`);
  const commands = loadCommands(bytes);
  const libraries = commands.filter(({ kind }) => kind === LC_LOAD_DYLIB).map(libraryOf);
  const own = commands.filter(({ kind }) => kind === LC_ID_DYLIB).map(libraryOf)[0] ?? null;
  const symbols = symbolsOf(
    bytes,
    commands.find(({ kind }) => kind === LC_SYMTAB),
  );
  return {
    libraries,
    own,
    isSigned: commands.some(({ kind }) => kind === LC_CODE_SIGNATURE),
    exported: new Set(symbols.filter(({ isDefined }) => isDefined).map(({ name }) => name)),
    undefinedSymbols: symbols
      .filter(({ isDefined }) => !isDefined)
      .map(({ name, ordinal }) => ({
        name,
        library: ordinal === DYNAMIC_LOOKUP ? null : (libraries[ordinal - 1]?.name ?? null),
      })),
  };
}

function loadCommands(bytes) {
  const commands = [];
  let at = 32;
  for (let left = bytes.readUInt32LE(16); left > 0; left--) {
    const size = bytes.readUInt32LE(at + 4);
    commands.push({
      kind: bytes.readUInt32LE(at) & 0x7fffffff,
      data: bytes.subarray(at, at + size),
    });
    at += size;
  }
  return commands;
}

const libraryOf = ({ data }) => ({
  name: stringAt(data, data.readUInt32LE(8)),
  version: data.readUInt32LE(16),
  compatibility: data.readUInt32LE(20),
});

function symbolsOf(bytes, command) {
  if (!command) return [];
  const [symbols, count, strings] = [8, 12, 16].map((at) => command.data.readUInt32LE(at));
  const found = [];
  for (let i = 0; i < count; i++) {
    const at = symbols + i * SYMBOL_BYTES;
    const type = bytes[at + 4];
    if ((type & N_STAB) !== 0 || (type & N_EXT) === 0) continue;
    found.push({
      name: stringAt(bytes, strings + bytes.readUInt32LE(at)),
      isDefined: (type & N_TYPE) !== N_UNDF,
      ordinal: bytes.readUInt16LE(at + 6) >> 8,
    });
  }
  return found;
}

const stringAt = (bytes, at) => bytes.toString('latin1', at, bytes.indexOf(0, at));
