/** The network as `/v1/network/details` shows it (03-directory §4): a chain that is not there, and this directory. */

/** A port where nothing listens: there is no chain, and nobody must be sent to the real one. */
const NO_CHAIN = 'http://127.0.0.1:1'

/** JSON only. `url` is the directory's base URL. */
export function networkDetails(url: string): unknown {
  const denomination = (base: string, display: string) => ({ base, display, display_exponent: 6 })
  return {
    connected_nyxd: NO_CHAIN,
    network: {
      network_name: 'mixwright',
      chain_details: {
        bech32_account_prefix: 'n',
        mix_denom: denomination('unym', 'nym'),
        stake_denom: denomination('unyx', 'nyx'),
      },
      endpoints: [{ nyxd_url: NO_CHAIN, websocket_url: null, api_url: url }],
      contracts: {
        mixnet_contract_address: null,
        vesting_contract_address: null,
        performance_contract_address: null,
        ecash_contract_address: null,
        group_contract_address: null,
        multisig_contract_address: null,
        coconut_dkg_contract_address: null,
      },
      nym_vpn_api_url: null,
      nym_api_urls: [{ url, front_hosts: null }],
      nym_vpn_api_urls: null,
    },
  }
}
