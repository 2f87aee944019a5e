// Color: decided once per stream, by the first of the usual switches that speaks (ECOSYSTEM 5); never the only sign of a state.

/** What the renderers paint with. A chalk instance is one; so is `plain`. */
export interface Paint {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly cyan: (text: string) => string;
  readonly magenta: (text: string) => string;
}

export type ColorLevel = 0 | 1 | 2 | 3;

const same = (text: string): string => text;

export const plain: Paint = {
  bold: same,
  dim: same,
  red: same,
  green: same,
  yellow: same,
  cyan: same,
  magenta: same,
};

/**
 * --color/--no-color > NO_COLOR > FORCE_COLOR, CLICOLOR_FORCE > CLICOLOR=0 > TERM=dumb > whether the stream is a terminal.
 * See no-color.org, force-color.org and bixense.com/clicolors.
 */
export function colorLevel(
  env: Readonly<Record<string, string | undefined>>,
  isTty: boolean,
  option: boolean | undefined,
): ColorLevel {
  if (option !== undefined) return option ? depth(env) : 0;
  if (isSet(env['NO_COLOR'])) return 0;
  const forced = env['FORCE_COLOR'];
  if (forced === '0' || forced === 'false') return 0;
  if (forced !== undefined) return forced === '2' ? 2 : forced === '3' ? 3 : 1;
  if (isSet(env['CLICOLOR_FORCE']) && env['CLICOLOR_FORCE'] !== '0') return depth(env);
  if (env['CLICOLOR'] === '0') return 0;
  if (env['TERM'] === 'dumb') return 0;
  return isTty ? depth(env) : 0;
}

const isSet = (value: string | undefined): boolean => value !== undefined && value !== '';

function depth(env: Readonly<Record<string, string | undefined>>): 1 | 2 | 3 {
  if (env['COLORTERM'] === 'truecolor' || env['COLORTERM'] === '24bit') return 3;
  return /-256(color)?$/.test(env['TERM'] ?? '') ? 2 : 1;
}

/** The paint of a level. chalk is loaded only where there is color at all. */
export async function paintOf(level: ColorLevel): Promise<Paint> {
  if (level === 0) return plain;
  const { Chalk } = await import('chalk');
  return new Chalk({ level });
}
