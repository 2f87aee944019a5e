// Why a keychain gives no answer, and what to do about it: the messages of keytar, libsecret and GLib as one typed error (ECOSYSTEM 1). Pure.
import { TunnelError } from '../errors.ts';
import { cleanText } from '../model/clean.ts';

export type KeychainTrouble =
  | 'addon-missing'
  | 'libsecret-missing'
  | 'no-session-bus'
  | 'dead-bus'
  | 'no-provider'
  | 'locked'
  | 'no-collection'
  | 'timed-out'
  | 'crashed'
  | 'refused';

/** The child runs with LC_ALL=C, so the words are these in every country. There is no code to go by. */
const calls: readonly (readonly [RegExp, KeychainTrouble])[] = [
  [/autolaunch D-Bus|Unable to autolaunch|X11 \$DISPLAY/i, 'no-session-bus'],
  [/not provided by any \.service files|ServiceUnknown|Error spawning|exited with status/i, 'no-provider'],
  [/locked collection|is locked|prompt was dismissed|interaction is not allowed/i, 'locked'],
  [/Object does not exist at path|No such secret collection|no such (interface|object)/i, 'no-collection'],
  [/Could not connect|connection is closed|Connection refused|no such file or directory/i, 'dead-bus'],
];

export function troubleOf(stage: 'load' | 'call', message: string): KeychainTrouble {
  if (stage === 'load')
    return /libsecret|libglib|libgio/i.test(message) ? 'libsecret-missing' : 'addon-missing';
  return calls.find(([words]) => words.test(message))?.[1] ?? 'refused';
}

const elsewhere = 'or take another source: env:NAME, file:PATH, command:[…]';

/** The fault in words, and a remedy. */
const words: Record<KeychainTrouble, readonly [why: string, hint: string]> = {
  'addon-missing': [
    'the keychain addon is not installed here',
    `npm install --include=optional in tunnel's folder; ${elsewhere}`,
  ],
  'libsecret-missing': [
    'libsecret is not installed',
    `apt-get install libsecret-1-0    # or dnf install libsecret; ${elsewhere}`,
  ],
  'no-session-bus': [
    'there is no desktop session here (no D-Bus session bus)',
    `run tunnel in your desktop session; ${elsewhere}`,
  ],
  'dead-bus': [
    'the D-Bus session bus does not answer',
    `echo $DBUS_SESSION_BUS_ADDRESS    # is that session still there? ${elsewhere}`,
  ],
  'no-provider': [
    'no keychain service runs in this session',
    `start gnome-keyring or KWallet with its Secret Service; ${elsewhere}`,
  ],
  locked: ['the keychain is locked', 'unlock it (log in to the desktop, or open its password manager)'],
  'no-collection': [
    'the keychain has no default collection yet',
    'create a keyring named "login" in the password manager of the desktop, once',
  ],
  'timed-out': [
    'the keychain did not answer in time; perhaps it waits for a password on the desktop',
    'unlock it (log in to the desktop, or open its password manager)',
  ],
  crashed: ['the keychain addon crashed', 'unlock the keychain and try again'],
  refused: ['the keychain refused', elsewhere],
};

/** SECRET_MISSING with the trouble in its facts. `act`: "lookup", "change" …; `said`: the keychain's own words. */
export function keychainError(
  act: string,
  account: string,
  trouble: KeychainTrouble,
  said: string | null,
): TunnelError {
  const [why, hint] = words[trouble];
  const quoted = said === null || trouble !== 'refused' ? '' : ` (${cleanText(said).slice(0, 200)})`;
  return new TunnelError('SECRET_MISSING', `keychain ${act} failed, on ${account}: ${why}${quoted}`, {
    hint,
    facts: { keychain: trouble, account },
  });
}
