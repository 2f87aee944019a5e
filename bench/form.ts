// How much is measured: the short form for a look, the full one for figures to rely on. Environment variables change single sizes.

export interface Form {
  readonly name: 'short' | 'full';
  /** Each way is measured so often, in turns with the others. */
  readonly rounds: number;
  /** Runs over a link with a rate; each takes `linkSeconds` after its first two. */
  readonly linkRuns: number;
  readonly linkSeconds: number;
  /** Of one bulk transfer. */
  readonly bulkBytes: number;
  /** Of one download at 100 ms. */
  readonly farBytes: number;
  /** What a supervisor carries before its memory is looked at again. */
  readonly loadBytes: number;
  readonly loadConnections: number;
  /** New connections, and requests, of one round. */
  readonly count: number;
  /** Sizes of a crowd of tunnels on one link. */
  readonly crowd: readonly number[];
  /** Other forwarders to measure beside, by their command line. */
  readonly others: readonly { readonly name: string; readonly command: string }[];
}

const mebibyte = 1024 * 1024;

const forms: Readonly<Record<Form['name'], Form>> = {
  short: {
    name: 'short',
    rounds: 3,
    linkRuns: 1,
    linkSeconds: 2,
    bulkBytes: 128 * mebibyte,
    farBytes: 16 * mebibyte,
    loadBytes: 1e9,
    loadConnections: 2000,
    count: 500,
    crowd: [1000],
    others: [],
  },
  full: {
    name: 'full',
    rounds: 5,
    linkRuns: 20,
    linkSeconds: 4,
    bulkBytes: 256 * mebibyte,
    farBytes: 128 * mebibyte,
    loadBytes: 10e9,
    loadConnections: 10_000,
    count: 1000,
    crowd: [100, 400, 1000],
    others: [],
  },
};

export const sizeVariables = ['ROUNDS', 'BULK_MB', 'CONNECTIONS', 'CROWD'] as const;

/** ROUNDS, BULK_MB, CONNECTIONS and CROWD (100,400,1000) make a form longer or shorter. */
export function formOf(name: Form['name'], env: Readonly<Record<string, string | undefined>>): Form {
  const form = forms[name];
  const rounds = wholeOf(env, 'ROUNDS');
  const bulk = wholeOf(env, 'BULK_MB');
  const connections = wholeOf(env, 'CONNECTIONS');
  const bytes = (bulk ?? 0) * mebibyte;
  return {
    ...form,
    ...(rounds === null ? {} : { rounds, linkRuns: rounds }),
    ...(bulk === null ? {} : { bulkBytes: bytes, farBytes: bytes, loadBytes: 4 * bytes }),
    ...(connections === null
      ? {}
      : { loadConnections: connections, count: Math.min(form.count, connections) }),
    ...(env['CROWD'] === undefined ? {} : { crowd: env['CROWD'].split(',').map(Number) }),
  };
}

function wholeOf(
  env: Readonly<Record<string, string | undefined>>,
  name: (typeof sizeVariables)[number],
): number | null {
  const text = env[name];
  if (text === undefined) return null;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`${name}: ${text} is no whole number`);
  return value;
}
