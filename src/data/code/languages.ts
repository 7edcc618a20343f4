/** A language of source files, by the id that VS Code has for it. */
export interface CodeLanguage {
  readonly id: string;
  readonly name: string;
  readonly extensions: readonly string[];
}

const language = (id: string, name: string, extensions: string): CodeLanguage => ({
  id,
  name,
  extensions: extensions.split(' '),
});

const LANGUAGES: readonly CodeLanguage[] = [
  language('c', 'C', 'c h'),
  language('clojure', 'Clojure', 'clj cljs cljc'),
  language('coffeescript', 'CoffeeScript', 'coffee'),
  language('cpp', 'C++', 'cpp cc cxx hpp hh hxx ipp'),
  language('csharp', 'C#', 'cs csx'),
  language('css', 'CSS', 'css'),
  language('dart', 'Dart', 'dart'),
  language('elixir', 'Elixir', 'ex exs'),
  language('erlang', 'Erlang', 'erl hrl'),
  language('fsharp', 'F#', 'fs fsi fsx'),
  language('go', 'Go', 'go'),
  language('graphql', 'GraphQL', 'graphql gql'),
  language('groovy', 'Groovy', 'groovy gradle'),
  language('haskell', 'Haskell', 'hs'),
  language('html', 'HTML', 'html htm'),
  language('java', 'Java', 'java'),
  language('javascript', 'JavaScript', 'js mjs cjs'),
  language('javascriptreact', 'JavaScript JSX', 'jsx'),
  language('julia', 'Julia', 'jl'),
  language('kotlin', 'Kotlin', 'kt kts'),
  language('less', 'Less', 'less'),
  language('lua', 'Lua', 'lua'),
  language('markdown', 'Markdown', 'md markdown'),
  language('objective-c', 'Objective-C', 'm mm'),
  language('ocaml', 'OCaml', 'ml mli'),
  language('perl', 'Perl', 'pl pm'),
  language('php', 'PHP', 'php'),
  language('powershell', 'PowerShell', 'ps1 psm1'),
  language('proto3', 'Protocol Buffers', 'proto'),
  language('python', 'Python', 'py pyi'),
  language('r', 'R', 'r'),
  language('ruby', 'Ruby', 'rb rake'),
  language('rust', 'Rust', 'rs'),
  language('scala', 'Scala', 'scala sc'),
  language('scss', 'SCSS', 'scss sass'),
  language('shellscript', 'Shell', 'sh bash zsh'),
  language('sql', 'SQL', 'sql'),
  language('svelte', 'Svelte', 'svelte'),
  language('swift', 'Swift', 'swift'),
  language('terraform', 'Terraform', 'tf'),
  language('typescript', 'TypeScript', 'ts mts cts'),
  language('typescriptreact', 'TypeScript JSX', 'tsx'),
  language('vue', 'Vue', 'vue'),
  language('zig', 'Zig', 'zig'),
];

const BY_EXTENSION = new Map(
  LANGUAGES.flatMap((own) => own.extensions.map((extension) => [extension, own] as const)),
);

/** The ids of all languages. */
export const LANGUAGE_IDS: readonly string[] = LANGUAGES.map(({ id }) => id);

/** The language of a file by its name; undefined: it is none of them. */
export const languageOf = (file: string): CodeLanguage | undefined =>
  BY_EXTENSION.get(/\.(\w+)$/.exec(file)?.[1]?.toLowerCase() ?? '');
