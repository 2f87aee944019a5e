// Algorithms: what we offer a server, in order. Pure but for what this build of ssh2 supports.
import { TunnelError } from '../errors.ts';
import { offeredByDefault } from '../keys/algorithms.ts';
import type { Host } from '../model/host.ts';
import { supportedAlgorithms, type AlgorithmNames } from './ssh2/parts.ts';

/** Where each list is written. */
export const algorithmKeys = {
  kex: 'kex',
  hostKey: 'host_key_algorithms',
  cipher: 'ciphers',
  mac: 'macs',
} as const;

/** What to offer a host. Throws CONFIG_INVALID when nothing that is configured can be had. */
export function offeredAlgorithms(host: Host, supported = supportedAlgorithms()): AlgorithmNames {
  const pick = (kind: keyof AlgorithmNames): readonly string[] => {
    const wanted = host.algorithms[kind] ?? offeredByDefault[kind];
    const usable = wanted.filter((name) => supported[kind].includes(name));
    if (usable.length > 0) return usable;
    throw new TunnelError(
      'CONFIG_INVALID',
      `${algorithmKeys[kind]} of host ${host.name} cannot be used: none of ${wanted.join(', ') || 'them'} is supported`,
      { hint: `supported: ${supported[kind].join(' ')}` },
    );
  };
  return { kex: pick('kex'), hostKey: pick('hostKey'), cipher: pick('cipher'), mac: pick('mac') };
}
