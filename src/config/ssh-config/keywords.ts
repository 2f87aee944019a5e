// The keywords of ssh_config, and which values ssh refuses (readconf.c of OpenSSH 10). A file with one such line is no file for ssh. Pure.
import { algorithmProblem } from '../algorithms.ts';
import type { AlgorithmKind } from '../../keys/algorithms.ts';
import { matchesList } from './match.ts';
import type { ConfigLine } from './lines.ts';
import { isTime, jumpProblem } from './settings.ts';

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

/** Other names of a keyword. */
const aliases: Readonly<Record<string, string>> = {
  challengeresponseauthentication: 'kbdinteractiveauthentication',
  skeyauthentication: 'kbdinteractiveauthentication',
  tisauthentication: 'kbdinteractiveauthentication',
  dsaauthentication: 'pubkeyauthentication',
  hostbasedkeytypes: 'hostbasedacceptedalgorithms',
  identityfile2: 'identityfile',
  keepalive: 'tcpkeepalive',
  protocolkeepalives: 'serveraliveinterval', // Debian's own, as is setuptimeout
  pubkeyacceptedkeytypes: 'pubkeyacceptedalgorithms',
  setuptimeout: 'serveraliveinterval',
  smartcarddevice: 'pkcs11provider',
};

/** With any number of words: their own grammar, or none of our business. */
const severalWords = words(`
  canonicaldomains canonicalizepermittedcnames channeltimeout dynamicforward globalknownhostsfile host include ipqos
  localforward logverbose match permitremoteopen remoteforward sendenv setenv userknownhostsfile rekeylimit`);
/** The rest of the line as it is: commands. */
const raw = words('knownhostscommand localcommand proxycommand proxyjump remotecommand');
/** Read and passed over, whatever stands there. */
const obsolete = words(`
  afstokenpassing cipher compressionlevel fallbacktorsh globalknownhostsfile2 kerberosauthentication
  kerberostgtpassing protocol rhostsauthentication rhostsrsaauthentication rsaauthentication useblacklistedkeys
  useprivilegedport useroaming userknownhostsfile2 usersh`);
/** With one word; the ones of Debian's and Apple's ssh too. */
const oneWord = words(`
  addkeystoagent addressfamily batchmode bindaddress bindinterface canonicalizefallbacklocal canonicalizehostname
  canonicalizemaxdots casignaturealgorithms certificatefile checkhostip ciphers clearallforwardings compression
  connectionattempts connecttimeout controlmaster controlpath controlpersist enableescapecommandline
  enablesshkeysign escapechar exitonforwardfailure fingerprinthash forkafterauthentication forwardagent forwardx11
  forwardx11timeout forwardx11trusted gatewayports gssapiauthentication gssapiclientidentity
  gssapidelegatecredentials gssapikexalgorithms gssapikeyexchange gssapirenewalforcesrekey gssapiserveridentity
  gssapitrustdns hashknownhosts hostbasedacceptedalgorithms hostbasedauthentication hostkeyalgorithms hostkeyalias
  hostname identitiesonly identityagent identityfile ignoreunknown kbdinteractiveauthentication
  kbdinteractivedevices kexalgorithms loglevel macs nohostauthenticationforlocalhost numberofpasswordprompts
  obscurekeystroketiming passwordauthentication permitlocalcommand pkcs11provider port preferredauthentications
  proxyusefdpass pubkeyacceptedalgorithms pubkeyauthentication refuseconnection requesttty requiredrsasize
  revokedhostkeys securitykeyprovider serveralivecountmax serveraliveinterval sessiontype stdinnull
  streamlocalbindmask streamlocalbindunlink stricthostkeychecking syslogfacility tag tcpkeepalive tunnel
  tunneldevice updatehostkeys usekeychain user verifyhostkeydns versionaddendum visualhostkey warnweakcrypto
  xauthlocation`);
const known = new Set([...severalWords, ...raw, ...obsolete, ...oneWord]);

/** The keyword that a line is about: one name for all of its spellings. */
export const keywordOf = (line: ConfigLine): string => aliases[line.keyword] ?? line.keyword;

const flag = ['yes', 'no', 'true', 'false'];
const choices: Readonly<Record<string, readonly string[]>> = {
  addressfamily: ['any', 'inet', 'inet6'],
  canonicalizehostname: [...flag, 'always'],
  compression: ['yes', 'no'],
  hostbasedauthentication: flag,
  identitiesonly: flag,
  kbdinteractiveauthentication: flag,
  passwordauthentication: flag,
  permitlocalcommand: flag,
  proxyusefdpass: flag,
  pubkeyauthentication: [...flag, 'unbound', 'host-bound'],
  stricthostkeychecking: [...flag, 'ask', 'off', 'accept-new'],
};

/** By keyword: whose names a list may hold. */
export const algorithmKeywords: Readonly<Record<string, AlgorithmKind>> = {
  ciphers: 'cipher',
  kexalgorithms: 'kex',
  macs: 'mac',
  hostkeyalgorithms: 'hostKey',
  pubkeyacceptedalgorithms: 'pubkey',
};

/** The fault of a line for which ssh would refuse the file; null for none. */
export function lineProblem(line: ConfigLine, ignoreUnknown: string | null): string | null {
  const keyword = keywordOf(line);
  if (ignoreUnknown !== null && !known.has(keyword) && matchesList(ignoreUnknown.toLowerCase(), line.keyword))
    return null;
  if (!known.has(keyword))
    return `${line.keyword} is no keyword of ssh_config that is known here (IgnoreUnknown lets ssh pass over it)`;
  if (obsolete.includes(keyword)) return null;
  if (keyword === 'proxyjump') return jumpProblem(line.rest);
  if (raw.includes(keyword) || keyword === 'match') return null;
  if (line.words.length === 0 || line.words.includes('')) return `${line.keyword} has no value`;
  if (severalWords.includes(keyword)) return severalProblem(keyword, line.words);
  const [value = '', further] = line.words;
  if (further !== undefined) return `${line.keyword} takes one value, "${further}" is one too many`;
  return valueProblem(keyword, value);
}

function severalProblem(keyword: string, values: readonly string[]): string | null {
  const alone = keyword === 'userknownhostsfile' || keyword === 'globalknownhostsfile';
  return alone && values.length > 1 && values.some((each) => each.toLowerCase() === 'none')
    ? '"none" stands alone'
    : null;
}

function valueProblem(keyword: string, value: string): string | null {
  const allowed = choices[keyword];
  if (allowed !== undefined && !allowed.includes(value.toLowerCase()))
    return `${keyword} must be one of ${allowed.join(', ')}, not "${value}"`;
  const kind = algorithmKeywords[keyword];
  if (kind !== undefined) return algorithmProblem(kind, value);
  switch (keyword) {
    case 'port':
      return isNumber(value, 65_535) && Number(value) > 0 ? null : `port must be 1-65535, not "${value}"`;
    case 'serveralivecountmax':
    case 'requiredrsasize':
      return isNumber(value, 2_147_483_647) ? null : `${keyword} must be a number, not "${value}"`;
    case 'connecttimeout':
    case 'serveraliveinterval':
      return value === 'none' || (isTime(value) && !/\d{10}/.test(value))
        ? null
        : `${keyword} must be a time as in 90, 1m30s or none, not "${value}"`;
    default:
      return null;
  }
}

function isNumber(value: string, most: number): boolean {
  return /^\+?\d+$/.test(value) && Number(value) <= most;
}
