declare module 'js-yaml' {
  /** Each document of a text. @throws YAMLException */
  export function loadAll(text: string): unknown[];
}
