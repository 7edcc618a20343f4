import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Float } from '../../../../../src/shared/exactValues';
import { JinjaError, parseJinja } from '../../../../../src/data/chat/jinja/template';

interface Reference {
  readonly context: Readonly<Record<string, unknown>>;
  /** Templates with what Python's Jinja gives; null: it fails. */
  readonly cases: readonly (readonly [string, string | null])[];
}

const reference = JSON.parse(readFileSync('test/fixtures/jinja.json', 'utf8')) as Reference;
/** The numbers that JSON.parse does not keep as Python does. */
const context = { ...reference.context, one: new Float(1), big: 12345678901234567890n };
const variables = { ...context, tools: null, documents: null };
const strftime = (format: string) => (format === '%Y' ? '2026' : '%');

const rendered = (source: string, given: Readonly<Record<string, unknown>> = variables) =>
  parseJinja(source, strftime).render(given);
const text = (source: string, given?: Readonly<Record<string, unknown>>) =>
  rendered(source, given).text;

function failure(source: string, given?: Readonly<Record<string, unknown>>): JinjaError {
  try {
    text(source, given);
  } catch (error) {
    if (error instanceof JinjaError) return error;
    throw error;
  }
  throw new Error(`${source} does not fail`);
}

describe('a template', () => {
  it('gives what it gives in Python', () => {
    expect(reference.cases.length).toBeGreaterThan(7000);
    const different = reference.cases.filter(([source, expected]) => {
      try {
        return text(source) !== expected;
      } catch (error) {
        if (!(error instanceof JinjaError)) throw error;
        return expected !== null;
      }
    });
    expect(different).toEqual([]);
  });

  it('is the same with line breaks of Windows', () => {
    const source = "a\n  {% if true %}\n b {{ 'x\ny' }}\n{% endif %}\n\n";
    expect(text(source.replaceAll('\n', '\r\n'))).toBe(text(source));
  });

  it('sees dictionaries with keys in their order, floats and large integers', () => {
    const given = new Map<string, unknown>([
      ['b', new Float(2)],
      ['1', 10n ** 20n],
    ]);
    expect(text('{{ x }}|{{ x | tojson }}', { x: given })).toBe(
      "{'b': 2.0, '1': 100000000000000000000}|" + '{"b": 2.0, "1": 100000000000000000000}',
    );
  });

  it('does not change what it is given', () => {
    const given = { l: [1], d: { a: 1 } };
    expect(failure('{{ l.append(2) }}', given).problem).toBe('failure');
    expect(failure('{{ d.update({}) }}', given).problem).toBe('failure');
    expect(text('{{ (l + [2])|length }}', given)).toBe('2');
    expect(given).toEqual({ l: [1], d: { a: 1 } });
  });
});

describe('an error of a template', () => {
  it('names the line and says what Python says', () => {
    expect(failure("a\n{% if true %}\n{{ none['x'].y }}\n{% endif %}")).toMatchObject({
      problem: 'failure',
      line: 3,
      message: "UndefinedError: 'None' has no attribute 'x'",
    });
    expect(failure('{{ 1\n + \n"a" }}')).toMatchObject({ line: 2 });
    const nested = '{% macro f(x) %}\n{{ x / 0 }}{% endmacro %}\n\n{{ f(1) }}';
    expect(failure(nested)).toMatchObject({
      line: 2,
      message: 'ZeroDivisionError: division by zero',
    });
  });

  it('in its syntax is found before it is rendered', () => {
    const fault = (source: string) => {
      try {
        parseJinja(source, strftime);
      } catch (error) {
        return error;
      }
      return undefined;
    };
    expect(fault('a\n{% if x %}\n{% for %}')).toMatchObject({ problem: 'syntax', line: 3 });
    expect(fault('{% if x %}\n\n')).toMatchObject({ problem: 'syntax' });
    expect(fault('\n{{ x | nothing }}')).toMatchObject({
      problem: 'syntax',
      line: 2,
      message: "No filter named 'nothing'.",
    });
  });

  it('that is its own refusal has its own words', () => {
    expect(failure("\n{{ raise_exception('only ' ~ 2) }}")).toMatchObject({
      problem: 'refusal',
      line: 2,
      message: 'only 2',
    });
  });
});

describe('the budget of a template', () => {
  const loop = (body: string) => `{% for i in range(99999) %}${body}{% endfor %}`;
  const grow = (step: string) =>
    `{% set ns = namespace(x=[1], t=(1,), s='ab') %}{% for i in range(99) %}{% set ${step} %}{% endfor %}`;
  const endless: Readonly<Record<string, string>> = {
    'nested loops': loop(loop('')),
    'nested output': loop(loop('text')),
    'a repeated text': "{{ 'x' * 10**9 }}",
    'a repeated list': "{{ ['x'] * 10**9 }}",
    'a text that doubles': grow('ns.s = ns.s ~ ns.s'),
    'the text of a list that doubles': `${grow('ns.x = [ns.x, ns.x]')}{{ ns.x }}`,
    'the JSON of a list that doubles': `${grow('ns.x = [ns.x, ns.x]')}{{ ns.x | tojson }}`,
    'the comparison of lists that double': `${grow('ns.x = [ns.x, ns.x]')}{{ ns.x == ns.x + [] }}`,
    'a tuple that doubles as key': `${grow('ns.t = (ns.t, ns.t)')}{{ {ns.t: 1} }}`,
    'a long join': "{{ range(99999) | join('x' * 100000) }}",
    'a long replacement': "{{ ('x' * 1000000).replace('x', 'y' * 1000) }}",
    'a wide number': "{{ '%1000000000d' % 1 }}",
    'a wide field': "{{ '{:1000000000}'.format(1) }}",
    'a wide center': "{{ 'x' | center(1000000000) }}",
    'a wide indentation': "{{ 'x' | indent(10**9, true) }}",
    'many slices': '{{ [1] | slice(10**9) | list }}',
    'a filled batch': "{{ [1] | batch(10**9, 'x') | list }}",
    'split texts': loop("{% set x = ('a ' * 1000).split() %}"),
    'sorted lists': loop('{% set x = range(99999) | sort %}'),
    'a macro that calls itself': '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}',
    'a loop that calls itself': '{% for x in [1] recursive %}{{ loop([x]) }}{% endfor %}',
    'a namespace in itself': '{% set ns = namespace() %}{% set ns.s = ns %}{{ ns }}',
    'many parentheses': `{{ ${'('.repeat(20_000)}1${')'.repeat(20_000)} }}`,
    'many blocks': '{% if x %}'.repeat(20_000),
    'a long template': 'x'.repeat(300_000),
  };
  for (const [name, source] of Object.entries(endless))
    it(`ends ${name}`, () => {
      expect(failure(source).problem).toBe('budget');
    });

  it('ends a range that is too long as the sandbox does', () => {
    expect(failure('{{ range(1000000000) }}').message).toMatch(/^OverflowError: Range too big/);
    expect(failure('{{ 3 ** (10 ** 20) }}').message).toMatch(/^OverflowError/);
  });

  it('grows with what the template is given', () => {
    const messages = Array.from({ length: 2000 }, (_, i) => ({ content: `${i} `.repeat(500) }));
    const all = '{% for m in messages %}{{ m.content | trim }}\n{% endfor %}';
    expect(text(all, { messages }).length).toBeGreaterThan(4_000_000);
  });
});

describe('the sandbox of a template', () => {
  it('has nothing of JavaScript', () => {
    const names = ['constructor', 'prototype', '__proto__', 'hasOwnProperty', 'toString', 'length'];
    for (const name of names) {
      for (const object of ["''", '1', '1.5', 'none', '[]', '(1,)', '{}', 'range', 'namespace()'])
        for (const access of [
          `(${object}).${name}`,
          `(${object})['${name}']`,
          `${object} | attr('${name}')`,
        ])
          expect(text(`{{ (${access}) is undefined }}`), access).toBe('True');
      expect(text(`{{ ${name} is undefined }}`)).toBe('True');
      if (name !== 'length') expect(failure(`{{ 1 | ${name} }}`).problem).toBe('syntax');
      expect(failure(`{{ 1 is ${name} }}`).problem).toBe('syntax');
      expect(failure(`{% ${name} %}`).problem).toBe('syntax');
    }
  });

  it('has nothing of Python', () => {
    expect(text("{{ ''.__class__ }}{{ [].append }}{{ {}.update }}")).toBe('');
    expect(failure("{{ ''.__class__.__mro__ }}").message).toMatch(/^SecurityError/);
    expect(failure('{{ namespace(**{"__proto__": 1}) }}').message).toMatch(/^SecurityError/);
  });

  it('takes keys of data for data', () => {
    const x = JSON.parse('{"__proto__": 1, "constructor": 2, "hasOwnProperty": 3}') as unknown;
    expect(text("{{ x['constructor'] }}{{ x.hasOwnProperty }}{{ x | length }}", { x })).toBe('233');
    expect(text('{{ constructor }}', { constructor: 'mine' })).toBe('mine');
  });
});

describe('generation blocks', () => {
  const marked = (source: string) => {
    const { text: whole, generated } = rendered(source);
    return generated.map(({ start, end }) => whole.slice(start, end));
  };

  it('are found in loops, macros, set blocks and each other', () => {
    const block = '{% generation %}<{{ i }}>{% endgeneration %}';
    expect(marked(`a{% for i in [1, 2] %}b${block}c{% endfor %}`)).toEqual(['<1>', '<2>']);
    expect(marked(`{% macro f(i) %}x${block}y{% endmacro %}ab{{ f(3) }}{{ f(4) }}`)).toEqual([
      '<3>',
      '<4>',
    ]);
    expect(marked(`{% set i = 5 %}{% set q %}ab${block}{% endset %}c{{ q }}`)).toEqual(['<5>']);
    expect(marked(`{% generation %}a${block}b{% endgeneration %}`)).toEqual(['a<>b']);
  });

  it('whose text is changed before it is written are an error', () => {
    const source = '{% set q %}{% generation %}a{% endgeneration %}{% endset %}{{ q | upper }}';
    expect(failure(source).message).toMatch(/a generation block stands in a macro or a set block/);
  });

  it('count only where they are tags', () => {
    const marks = (source: string) => parseJinja(source, strftime).marksGenerations;
    expect(marks('{% if x %}{%- generation -%}a{% endgeneration %}{% endif %}')).toBe(true);
    expect(marks('{# {% generation %} #}{% raw %}{% generation %}{% endraw %}')).toBe(false);
  });

  it('have a scope of their own', () => {
    const source =
      '{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}';
    expect(text(source)).toBe('21');
  });
});
