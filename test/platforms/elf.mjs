// Reads which versions of the system's libraries a library of Linux (ELF, 64 bits, little-endian)
// needs.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { check, dist } from './checks.mjs';

const MAGIC = 0x464c457f;
const SHT_GNU_VERNEED = 0x6ffffffe;
/** That of the wheels (manylinux2014): RHEL 8 and Ubuntu 20.04 have later ones. */
const NEWEST_GLIBC = [2, 17];

/** Checks that the binding of a platform needs no later glibc, and no C++ library of the system. */
export function checkElf(platform) {
  const versions = neededVersions(path.join(dist, 'binding', platform, 'tfjs_binding.node'));
  const refused = versions.filter((version) => !isAllowed(version));
  check(
    `${platform}: the binding needs glibc ${NEWEST_GLIBC.join('.')} at most, and no libstdc++`,
    versions.length > 0 && refused.length === 0,
    (refused.length > 0 ? refused : versions).join(' '),
  );
}

function isAllowed(version) {
  const [, major, minor = 0] = /^GLIBC_(\d+)\.(\d+)/.exec(version) ?? [];
  if (major === undefined) return false;
  const [mostMajor, mostMinor] = NEWEST_GLIBC;
  return Number(major) < mostMajor || (Number(major) === mostMajor && Number(minor) <= mostMinor);
}

/** The names of the versions: GLIBC_2.17. */
export function neededVersions(file) {
  const bytes = readFileSync(file);
  if (bytes.readUInt32LE(0) !== MAGIC) throw new Error(`${file} is no ELF file.`);
  const sections = sectionsOf(bytes);
  const needed = sections.find(({ type }) => type === SHT_GNU_VERNEED);
  if (!needed) return [];
  const strings = sections[needed.link];
  const names = [];
  let fileAt = needed.offset;
  for (let left = needed.info; left > 0; left--) {
    let at = fileAt + bytes.readUInt32LE(fileAt + 8);
    for (let count = bytes.readUInt16LE(fileAt + 2); count > 0; count--) {
      names.push(stringAt(bytes, strings.offset + bytes.readUInt32LE(at + 8)));
      at += bytes.readUInt32LE(at + 12);
    }
    fileAt += bytes.readUInt32LE(fileAt + 12);
  }
  return [...new Set(names)].sort();
}

function sectionsOf(bytes) {
  const start = Number(bytes.readBigUInt64LE(40));
  const [size, count] = [bytes.readUInt16LE(58), bytes.readUInt16LE(60)];
  return Array.from({ length: count }, (_, i) => {
    const at = start + i * size;
    return {
      type: bytes.readUInt32LE(at + 4),
      offset: Number(bytes.readBigUInt64LE(at + 24)),
      link: bytes.readUInt32LE(at + 40),
      info: bytes.readUInt32LE(at + 44),
    };
  });
}

const stringAt = (bytes, at) => bytes.toString('latin1', at, bytes.indexOf(0, at));
