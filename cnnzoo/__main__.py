from cnnzoo.cli.main import main

main()
