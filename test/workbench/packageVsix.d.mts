/** The path of the extension's package. */
export function packageVsix(): string;
