/** Numbers as text in the language of `locale`; NaN and infinities are shown as `none`. */
export class Formatter {
  private readonly cache = new Map<string, Intl.NumberFormat>();

  constructor(
    private readonly locale: string,
    private readonly none: string = '–',
  ) {}

  /** 123456 as 123,456. */
  count(value: number): string {
    return this.number(value, { maximumFractionDigits: 0 });
  }

  /** 134515008 as 134.5M. */
  compact(value: number): string {
    return this.number(value, { notation: 'compact', maximumFractionDigits: 1 });
  }

  /** About four significant digits: 1.2346, 0.01235, 12.35, 1.235e-6. */
  value(value: number): string {
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e6)) return this.exponent(value);
    if (size < 1) return this.number(value, { maximumSignificantDigits: 4 });
    if (size < 10) return this.number(value, { maximumFractionDigits: 4 });
    return this.number(value, { maximumFractionDigits: size < 100 ? 3 : 1 });
  }

  /** A number of significant digits. */
  digits(value: number, digits: number): string {
    return this.number(value, { maximumSignificantDigits: digits });
  }

  /** 0.00019 as 1.9e-4. */
  exponent(value: number): string {
    if (!Number.isFinite(value)) return this.none;
    if (value === 0) return this.count(0);
    const power = Math.floor(Math.log10(Math.abs(value)));
    const mantissa = Number((value / 10 ** power).toPrecision(3));
    return mantissa >= 10
      ? `${this.number(mantissa / 10, { maximumSignificantDigits: 3 })}e${power + 1}`
      : `${this.number(mantissa, { maximumSignificantDigits: 3 })}e${power}`;
  }

  /** Learning rates: small ones with an exponent, as people write them. */
  rate(value: number): string {
    return value !== 0 && Math.abs(value) < 0.01 ? this.exponent(value) : this.value(value);
  }

  /** Tokens per second. */
  speed(value: number): string {
    return this.number(value, { maximumFractionDigits: Math.abs(value) < 100 ? 1 : 0 });
  }

  /** 1610612736 as 1.5 GiB. */
  bytes(value: number): string {
    if (!Number.isFinite(value)) return this.none;
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
    const power = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(value) / 10));
    const amount = value / 1024 ** power;
    const digits = amount >= 10 ? 1 : 2;
    const maximumFractionDigits = power === 0 || amount >= 100 ? 0 : digits;
    return `${this.number(amount, { maximumFractionDigits })} ${units[power]!}`;
  }

  /** 0.0034 as 0.34%. */
  percent(value: number): string {
    return this.number(value, {
      style: 'percent',
      ...(Math.abs(value) < 0.1 ? { maximumSignificantDigits: 2 } : { maximumFractionDigits: 0 }),
    });
  }

  /** 3725 s as 1 h 2 min, 80 s as 1 min 20 s. */
  duration(seconds: number): string {
    if (!Number.isFinite(seconds) || seconds < 0) return this.none;
    const whole = Math.round(seconds);
    const parts: readonly (readonly [number, string])[] = [
      [Math.floor(whole / 86_400), 'day'],
      [Math.floor(whole / 3600) % 24, 'hour'],
      [Math.floor(whole / 60) % 60, 'minute'],
      [whole % 60, 'second'],
    ];
    const first = parts.findIndex(([amount]) => amount > 0);
    const shown =
      first < 0
        ? parts.slice(3)
        : parts.slice(first, first + 2).filter(([amount], i) => i === 0 || amount > 0);
    return shown
      .map(([amount, unit]) => this.number(amount, { style: 'unit', unit, unitDisplay: 'short' }))
      .join(' ');
  }

  /** An ISO time in the reader's own zone. */
  time(iso: string): string {
    const date = new Date(iso);
    return Number.isNaN(date.getTime())
      ? iso
      : date.toLocaleString(this.locale, { dateStyle: 'medium', timeStyle: 'medium' });
  }

  private number(value: number, options: Intl.NumberFormatOptions): string {
    if (!Number.isFinite(value)) return this.none;
    const key = JSON.stringify(options);
    const format = this.cache.get(key) ?? new Intl.NumberFormat(this.locale, options);
    this.cache.set(key, format);
    return format.format(value);
  }
}
