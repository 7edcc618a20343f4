const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const DAY = 86_400_000;

/** A number with the padding that it has where no flag says otherwise. */
interface Padded {
  readonly value: number;
  readonly width: number;
  readonly fill: '0' | ' ';
}

const padded = (value: number, width = 2, fill: '0' | ' ' = '0'): Padded => ({
  value,
  width,
  fill,
});

/** Days since the start of the year, from 0. Times of day do not count. */
function dayOfYear(d: Date): number {
  const start = Date.UTC(d.getFullYear(), 0, 1);
  return Math.round((Date.UTC(d.getFullYear(), d.getMonth(), d.getDate()) - start) / DAY);
}

/** Weeks that start on this day of the week (0: Sunday); days before the first are in week 0. */
function weekOfYear(d: Date, start: number): number {
  return Math.floor((dayOfYear(d) + 7 - ((d.getDay() - start + 7) % 7)) / 7);
}

/** The week of ISO 8601 and the year that it belongs to: that of its Thursday. */
function isoWeek(d: Date): { readonly year: number; readonly week: number } {
  const thursday = new Date(d.getFullYear(), d.getMonth(), d.getDate() + 4 - (d.getDay() || 7));
  return { year: thursday.getFullYear(), week: Math.floor(dayOfYear(thursday) / 7) + 1 };
}

const halfDay = (d: Date) => (d.getHours() < 12 ? 'AM' : 'PM');

const NUMBERS: Readonly<Record<string, (d: Date) => Padded>> = {
  C: (d) => padded(Math.floor(d.getFullYear() / 100)),
  d: (d) => padded(d.getDate()),
  e: (d) => padded(d.getDate(), 2, ' '),
  G: (d) => padded(isoWeek(d).year, 1),
  g: (d) => padded(isoWeek(d).year % 100),
  H: (d) => padded(d.getHours()),
  I: (d) => padded(d.getHours() % 12 || 12),
  j: (d) => padded(dayOfYear(d) + 1, 3),
  k: (d) => padded(d.getHours(), 2, ' '),
  l: (d) => padded(d.getHours() % 12 || 12, 2, ' '),
  M: (d) => padded(d.getMinutes()),
  m: (d) => padded(d.getMonth() + 1),
  S: (d) => padded(d.getSeconds()),
  s: (d) => padded(Math.floor(d.getTime() / 1000), 1),
  U: (d) => padded(weekOfYear(d, 0)),
  u: (d) => padded(d.getDay() || 7, 1),
  V: (d) => padded(isoWeek(d).week),
  W: (d) => padded(weekOfYear(d, 1)),
  w: (d) => padded(d.getDay(), 1),
  Y: (d) => padded(d.getFullYear(), 1),
  y: (d) => padded(d.getFullYear() % 100),
};

const TEXTS: Readonly<Record<string, (d: Date) => string>> = {
  A: (d) => DAYS[d.getDay()]!,
  a: (d) => DAYS[d.getDay()]!.slice(0, 3),
  B: (d) => MONTHS[d.getMonth()]!,
  b: (d) => MONTHS[d.getMonth()]!.slice(0, 3),
  h: (d) => MONTHS[d.getMonth()]!.slice(0, 3),
  n: () => '\n',
  P: (d) => halfDay(d).toLowerCase(),
  p: halfDay,
  t: () => '\t',
  Z: () => '',
  '%': () => '%',
};

const COMPOSED: Readonly<Record<string, string>> = {
  c: '%a %b %e %H:%M:%S %Y',
  D: '%m/%d/%y',
  F: '%Y-%m-%d',
  R: '%H:%M',
  r: '%I:%M:%S %p',
  T: '%H:%M:%S',
  X: '%H:%M:%S',
  x: '%m/%d/%y',
};

const DIRECTIVE = /%[-_0^#]*\d*[EO]?[A-Za-z%]/g;
const DIRECTIVE_PARTS = /^%(?<flags>[-_0^#]*)(?<width>\d*)[EO]?(?<letter>.)$/;

/**
 * Python's strftime in the C locale and local time, with the flags and widths of the GNU library:
 * %-d has no padding, %_d spaces, %^a upper case. Unknown directives stay as they are. A time has
 * no zone there: %z and %Z are empty.
 */
export function strftime(date: Date, format: string): string {
  const microseconds = String(date.getMilliseconds() * 1000).padStart(6, '0');
  return format
    .replace(/%([%fzZ])/g, (directive, letter: string) => {
      if (letter === '%') return directive;
      return letter === 'f' ? microseconds : '';
    })
    .replace(DIRECTIVE, (directive) => {
      const { flags, width, letter } = DIRECTIVE_PARTS.exec(directive)!.groups!;
      const style = { flags: flags!, width: Math.min(Number(width), 1000) };
      return directiveText(date, letter!, style) ?? directive;
    });
}

interface Style {
  readonly flags: string;
  readonly width: number;
}

function directiveText(date: Date, letter: string, { flags, width }: Style): string | undefined {
  const number = NUMBERS[letter]?.(date);
  if (number) return numberText(number, flags, width);
  const composed = COMPOSED[letter];
  const text = composed === undefined ? TEXTS[letter]?.(date) : strftime(date, composed);
  if (text === undefined) return undefined;
  const padding = (flags.includes('0') ? '0' : ' ').repeat(Math.max(0, width - text.length));
  return padding + changedCase(text, letter, flags);
}

function numberText({ value, width, fill }: Padded, flags: string, wanted: number): string {
  const last = flags.match(/[-_0]/g)?.at(-1);
  if (last === '-') return String(value).padStart(wanted);
  const own = last === '_' ? ' ' : '0';
  return String(value).padStart(Math.max(wanted, width), last === undefined ? fill : own);
}

/** ^ is upper case, # the other case. */
function changedCase(text: string, letter: string, flags: string): string {
  if (flags.includes('#') && (letter === 'p' || letter === 'Z')) return text.toLowerCase();
  return /[\^#]/.test(flags) && letter !== 'P' ? text.toUpperCase() : text;
}
