from datamap_cli.cli import main

main()
